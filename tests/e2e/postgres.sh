#!/bin/bash
# SPDX-License-Identifier: MIT
# PostgreSQL on ext4 on the disk, used by several clients while links are cut, every daemon is killed,
# the database itself is killed, and a journal overflows. In the end, at a crash, and during a resync
# each mirror alone has a clean file system, a database that starts, and every transaction of which a
# client had heard by then. Needs root, FUSE and loop devices. SEED=N
source "$(dirname "$0")/lib.sh"
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
NAME="$NAME seed $SEED"
SECONDS=0
said() { echo "$SECONDS s: $*"; }

# ---- the disk, the file system, the database ----

M=$(mktemp -d /tmp/dipole-e2e.XXXXXX) # where the user `postgres` gets, unlike perhaps $D
mkdir "$M/live" "$M/copy"
FUSE='' LOOP='' PG=''

leave() {
  local status=$? at
  trap '' INT TERM
  [ -z "$PG" ] || kill_postgres
  [ -z "$FUSE" ] || { kill -KILL "$FUSE" && wait "$FUSE"; } 2>/dev/null # what waits for the disk gets an error
  for at in "$M/copy" "$M/live" "$D/disk"; do
    findmnt "$at" >/dev/null && { wait_until 10 umount "$at" || umount -l "$at"; }
  done
  [ -z "$LOOP" ] || losetup -d "$LOOP"
  rm -rf "$M"
  return "$status"
}
trap 'leave; cleanup' EXIT

may_mount() {
  true <>/dev/fuse && truncate -s 4M "$D/probe" && mkfs.ext4 -q "$D/probe" &&
    mount -o loop "$D/probe" "$M/copy" && umount "$M/copy"
} >"$D/probe.log" 2>&1
may_mount || skip "needs root, FUSE and loop devices: $(head -n 1 "$D/probe.log")"
POSTGRES=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$POSTGRES/pgbench" ] && chown postgres: "$M" || fail "no PostgreSQL: see scripts/install-deps"

# For `bounded` and `background` only.
as_postgres() { cd "$M" && exec setpriv --reuid=postgres --regid=postgres --clear-groups "$POSTGRES/$1" "${@:2}"; }
sql() { PGOPTIONS='-c statement_timeout=60s' "$POSTGRES/psql" -h "$M" -U postgres -qAtX -v ON_ERROR_STOP=1 "$@"; }
start_postgres() { # DIRECTORY
  background as_postgres postgres -D "$1" -k "$M" -c listen_addresses= -c shared_buffers=16MB \
    -c min_wal_size=4MB -c max_wal_size=16MB -c recovery_init_sync_method=syncfs >>"$D/postgres.log" 2>&1
  PG=$!
  wait_until 60 "$POSTGRES/pg_isready" -h "$M" || fail "PostgreSQL does not start: $(tail -n 5 "$D/postgres.log")"
}
stop_postgres() {
  kill -INT "$PG"
  await 60 "$PG" || fail "PostgreSQL does not stop: $(tail -n 5 "$D/postgres.log")"
  PG=
}
# All its processes at once; one that is left would keep the next from starting.
kill_postgres() {
  local all p
  kill -STOP "$PG" # no more children
  all="$PG $(pgrep -P "$PG")"
  # shellcheck disable=SC2086 # several processes
  kill -KILL $all
  for p in $all; do wait_until 20 gone "$p"; done
  wait "$PG"
  PG=
} 2>/dev/null

# ---- the load: what clients have heard of is in $D/heard ----

# Each client numbers its rows, so that a row which is missing leaves a gap. Neither load is as quick as
# it might be: on a quick machine too an outage must not be enough to overflow the journal.
insert_until_enough() { # CLIENT
  local i
  for ((i = 0; i < 20; i++)); do
    echo "INSERT INTO rows SELECT $1, n, repeat(md5('$1.' || n), 4)
      FROM (SELECT coalesce(max(n), 0) + 1 AS n FROM rows WHERE client = $1) AS next, pg_sleep(0.01) RETURNING n;"
  done >"$D/insert.$1"
  until [ -e "$D/enough" ]; do
    "$POSTGRES/psql" -h "$M" -U postgres -qAtX -v ON_ERROR_STOP=1 -f "$D/insert.$1" >>"$D/heard/rows.$1" || sleep 0.2
  done 2>>"$D/clients.log"
}
pgbench_until_enough() {
  until [ -e "$D/enough" ]; do
    "$POSTGRES/pgbench" -h "$M" -U postgres -n -c 4 -j 2 -T 1 -R 100 postgres >>"$D/heard/pgbench" || sleep 0.2
  done 2>>"$D/clients.log"
}
heard() { cat "$D"/heard/rows.* | wc -l; }
heard_more() { [ "$(heard)" -ge "$1" ]; }
commits_go_on() { # WHEN
  wait_until 60 heard_more $(($(heard) + 40)) || fail "$1: nothing is committed: $(tail -n 3 "$D/clients.log")"
}

# ---- what is looked at ----

leg_is() { is nwk ".links[] | select(.leg == \"$1\") | $2"; }
counts() { leg_is "$1" '.state == "Connected" and .in_sync'; }
both_count() { counts west && counts east; }
away() { leg_is "$1" '.state != "Connected" and (.in_sync | not)'; }
alarmed() { field "$1" '.alarms[].text' | grep -q "$2"; }
resyncing() { is "$1" '.images.state == "Resyncing"'; }
whole() { is "$1" '.images.state == "UpToDate"'; }
started_anew() { local p; p=$(pid_of "$1") && [ "$p" != "$2" ] && ours "$p"; } # NODE PID-BEFORE

# What clients have heard of so far is in $D/NAME.heard; the image of the mirror has all of it.
remember() { # MIRROR NAME
  local last
  cp -r "$D/heard" "$D/$2.heard"
  last=$(field nwk .last)
  wait_until 60 is "$1" ".applied >= $last" || fail "$1 does not apply: $(field "$1" .)"
}

# The file system of an image is clean, its database starts, and everything that had been heard of is
# there. IMAGE NAME; of a crash: the file system replays its journal first.
check() {
  local client count last known good
  if [ "$2" != final ]; then
    mount -o loop "$1" "$M/copy" || fail "$1: not mounted"
    umount "$M/copy"
  fi
  e2fsck -fn "$1" >"$D/fsck" 2>&1 || fail "$1: $(cat "$D/fsck")"
  mount -o loop,errors=remount-ro "$1" "$M/copy" || fail "$1: not mounted"
  [ "$2" != final ] || [ ! -e "$M/copy/data/postmaster.pid" ] || fail "$1: not what a database leaves that was stopped"
  rm -f "$M/copy/data/postmaster.pid"
  start_postgres "$M/copy/data"
  for client in 1 2 3; do
    read -r count last good < <(sql -F ' ' -c "SELECT count(*), coalesce(max(n), 0),
      coalesce(bool_and(note = repeat(md5(client || '.' || n), 4)), true) FROM rows WHERE client = $client")
    known=$(tail -n 1 "$D/$2.heard/rows.$client")
    [ "$count" = "$last" ] && [ "$last" -ge "${known:-0}" ] && [ "$good" = t ] ||
      fail "$1: client $client has $count rows up to $last, all good: $good; it had heard of $known"
  done
  known=$(awk '/actually processed/ {n += $NF} END {print n + 0}' "$D/$2.heard/pgbench")
  read -r count good < <(sql -F ' ' -c "SELECT count(*), coalesce(sum(delta), 0) = ALL (ARRAY[
    (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
    (SELECT sum(bbalance) FROM pgbench_branches)]) FROM pgbench_history")
  [ "$count" -ge "$known" ] && [ "$good" = t ] ||
    fail "$1: $count pgbench transactions, balanced: $good; $known had been heard of"
  bounded 60 "$POSTGRES/pg_amcheck" -h "$M" -U postgres --install-missing --heapallindexed postgres >"$D/amcheck" 2>&1 ||
    fail "$1: $(cat "$D/amcheck")"
  said "$2: $last rows of the last client, heard of $(tail -n 1 "$D/$2.heard/rows.3"); $count pgbench transactions of $known"
  stop_postgres
  umount "$M/copy" || fail "$1: not unmounted"
}

# ---- before ----

cat >"$D/t.yaml" <<'END'
dipole: 1
name: postgres
sites:
  newark: {}
nodes:
  nwk:   {role: controller, site: newark, listen: tcp://10.1.0.1:7400}
  west:  {role: mirror,     site: newark, listen: tcp://10.2.0.1:7400, journal: 16MiB}
  relay: {role: relay,      site: newark, listen: tcp://10.3.0.1:7400, journal: 32MiB}
  east:  {role: mirror,     site: newark, listen: tcp://10.4.0.1:7400, journal: 16MiB}
heartbeat: {interval: 100ms, down-after: 500ms, probation: 300ms}
links:
  - {between: [nwk, west]}
  - {between: [nwk, relay]}
  - {between: [relay, east]}
streams:
  main:
    controller: nwk
    legs: {west: [west], east: [relay, east]}
    when-leg-down: {keep-serving: 1}
    journal: {size: 32MiB, when-full: track}
    resync-rate: 64MiB
volumes:
  disk: {stream: main, size: 192MiB}
END
networks west relay
up "$D/t.yaml"
: >"$D/disk"
background nbdfuse "$D/disk" "$(uri disk)" 2>"$D/nbdfuse.log"
FUSE=$!
wait_until 20 test -s "$D/disk" || fail "nbdfuse: $(cat "$D/nbdfuse.log")"
LOOP=$(losetup -f --show --direct-io=on "$D/disk") || fail "no loop device" # direct: many requests at once
bounded 60 mkfs.ext4 -q -N 4096 "$LOOP" || fail "mkfs"
mount -o errors=remount-ro "$LOOP" "$M/live" || fail "mount"
losetup -d "$LOOP" && LOOP= # as soon as it is unmounted
install -d -o postgres -g postgres -m 700 "$M/live/data"
bounded 60 as_postgres initdb -D "$M/live/data" -k -N --wal-segsize=1 --no-locale -A trust >"$D/initdb.log" 2>&1 ||
  fail "initdb: $(cat "$D/initdb.log")"
start_postgres "$M/live/data"
sql -c 'CREATE TABLE rows (client int, n int, note text, PRIMARY KEY (client, n))' || fail "no table"
bounded 60 "$POSTGRES/pgbench" -h "$M" -U postgres -q -i postgres 2>"$D/pgbench.log" || fail "$(cat "$D/pgbench.log")"
sync -f "$M/live"
mkdir "$D/heard"
touch "$D"/heard/{rows.1,rows.2,rows.3,pgbench}
clients=()
for client in 1 2 3; do
  background insert_until_enough $client
  clients+=($!)
done
background pgbench_until_enough
clients+=($!)
commits_go_on "at first"
said "there is load"

# ---- cuts and kills ----

for node in west relay; do
  leg=${node/relay/east}
  network $node cut
  wait_until 10 away "$leg" || fail "the cut of $leg is not noticed: $(field nwk .links)"
  commits_go_on "$leg is cut"
  network $node pass
  wait_until 30 counts "$leg" || fail "$leg does not come back: $(field nwk .links)"
  said "$leg was cut"
done
p=$(pid_of east)
kill -STOP "$p"
wait_until 10 is relay '.links[0].state == "Down"' || fail "the silence of east is not noticed: $(field relay .links)"
commits_go_on "east is silent"
kill -CONT "$p"

mkdir "$D/crash"
for node in nwk relay west east; do
  [ $node = nwk ] || [ $node = relay ] || remember $node $node
  # So much at once that the image is behind the journal.
  background dd if=/dev/urandom of="$M/live/fill" bs=4M count=4 oflag=direct conv=notrunc status=none
  burst=$!
  sleep "0.$((RANDOM % 400 + 100))" # a random moment, nothing is waited for
  p=$(pid_of $node)
  if [ -e "$D/$node.heard" ]; then
    kill -STOP "$p"
    cp -r --sparse=always "$S/$node" "$D/crash/"
  fi
  kill -KILL "$p"
  wait_until 20 started_anew $node "$p" || fail "$node is not started again"
  commits_go_on "$node was killed"
  await 60 $burst || fail "the disk cannot be written"
  wait_until 30 both_count || fail "after the kill of $node not all legs count: $(field nwk .links)"
  said "$node was killed"
done

kill_postgres
start_postgres "$M/live/data"
commits_go_on "PostgreSQL was killed"
said "PostgreSQL was killed"

# ---- the overflow ----

remember west old
p=$(pid_of west)
old=$(ls "$S"/west/image.disk*)
kill -STOP "$p"
wait_until 10 away west || fail "the silence of west is not noticed: $(field nwk .links)"
bounded 60 dd if=/dev/urandom of="$M/live/fill" bs=1M count=40 conv=fsync status=none || fail "the disk cannot be written"
wait_until 60 alarmed nwk "the journal is full" || fail "the journal does not overflow: $(field nwk .)"
commits_go_on "the journal was full"
resync_rate 4MiB
kill -KILL "$p"
wait_until 30 resyncing west || fail "west is not resynced: $(field west .)"
cp --sparse=always "$old" "$D/old.image" || fail "the image to fall back on is gone: $(ls "$S/west")"
commits_go_on "west is resynced"
resyncing west || fail "the resync was too quick to be looked at"
resync_rate 64MiB west
wait_until 60 whole west || fail "the resync does not end: $(field west .images)"
wait_until 30 both_count || fail "west does not count again: $(field nwk .links)"
said "west was resynced"

# ---- after ----

touch "$D/enough"
for p in "${clients[@]}"; do await 60 "$p" || fail "a client does not end"; done
cp -r "$D/heard" "$D/final.heard"
for client in 1 2 3; do
  sort -nuc "$D/heard/rows.$client" || fail "a row was committed that was gone later" # its number comes again
done
stop_postgres
umount "$M/live" || fail "not unmounted"
wait_until 20 fusermount3 -u "$D/disk" || fail "the disk is in use" # by the loop device, for a moment
await 20 "$FUSE" || fail "nbdfuse: $(cat "$D/nbdfuse.log")"
FUSE=
same_everywhere
stop_up
[ "$UP_STATUS" = 0 ] || fail "it does not stop in good order: $UP_STATUS"
grep -h 'ERROR:' "$D/clients.log" && fail "a client got an error"
grep -E 'PANIC|could not (read|write|fsync|extend)' "$D/postgres.log" && fail "the disk failed"
said "all is stopped"
for node in west east; do
  cp --sparse=always "$S/$node"/image.disk* "$D/$node.image" || fail "images: $(ls "$S/$node")"
  check "$D/$node.image" final
done
check "$D/old.image" old

# What a crash left: the daemon alone brings the image to what its journal says.
cp "$S/topology.yaml" "$D/crash/"
settled() { S=$D/crash is "$1" '.state == "Open" and .applied == .agreed'; }
for node in west east; do
  background "$BUILD/mirrord/dipole-mirrord" --topology "$D/crash/topology.yaml" --node $node --state "$D/crash/$node" \
    2>"$D/crash/$node/log"
  p=$!
  wait_until 30 settled $node || fail "$node alone: $(cat "$D/crash/$node/log")"
  kill "$p"
  await 30 "$p" || fail "$node alone does not stop: $(cat "$D/crash/$node/log")"
  check "$D/crash/$node"/image.disk* $node
done
pass

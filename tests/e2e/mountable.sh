#!/bin/bash
# SPDX-License-Identifier: MIT
# ext4 on the disk, file operations going on. What a mirror has at a random moment (it is killed, it is
# behind, it is being resynced) is that file system at an earlier moment: nothing but its own journal
# replay is needed, and what was synced well before is there.
# usage: [ROUNDS=4] [SEED=N] mountable.sh
source "$(dirname "$0")/lib.sh"
source "$HERE/disk.sh"
needs_file_systems
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
NAME="$NAME seed $SEED"
SECONDS=0

sed -E -e 's/256MiB\}/32MiB}/' -e 's/size: 1GiB/size: 192MiB/' \
  -e 's/^( +)flush: .*/\1flush: cached\n\1when-leg-down: {keep-serving: 1}\n\1resync-rate: 2MiB/' \
  -e 's/^( +journal:).*/\1 {size: 128MiB}/' \
  -e '/^links:/i heartbeat: {interval: 100ms, down-after: 500ms, probation: 200ms}' \
  "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"

# ---- the file system in use ----

# Creates, syncs, renames, appends, truncates, punches and removes, until $D/enough exists. What must
# be there from then on stands in $D/synced.
churn() {
  local n
  cd "$D/mnt" && exec 2>>"$D/churn.err" || exit 1
  for ((n = 1; ; n++)); do
    [ -e "$D/enough" ] && cd / && exit 0
    mkdir -p "d$((n % 5))" && cd "d$((n % 5))" && head -c $((RANDOM * 3 + 1)) /dev/urandom >new || exit 1
    case $((RANDOM % 4)) in
    0) # the way in which careful programs replace a file
      sync new && mv new "kept.$n" && sync . && sha256sum "$PWD/kept.$n" >>"$D/synced" || exit 1
      ;;
    1) cat new >>log && sync log && rm new || exit 1 ;;
    2) mv new "some.$((RANDOM % 9))" && truncate -s "$RANDOM" "some.$((RANDOM % 9))" || exit 1 ;;
    *)
      fallocate -p -o 4096 -l 16384 new && mv new ../new && ln ../new "link.$n" && rm -f ../new link.$((n - 20)) || exit 1
      [ "$(stat -c %s log 2>/dev/null || echo 0)" -lt 2000000 ] || rm log
      ;;
    esac
    cd ..
  done
}
churns() {
  gone "$churn" && fail "the file operations ended: $(tail -n 3 "$D/churn.err")"
  local n
  n=$(wc -l <"$D/synced")
  wait_until 60 more_synced "$n" || fail "the file operations stand still"
}
newest() { tail -n 1 "$D/synced" | sed "s,.* $D/mnt/,,"; }
digest_of() { dipole digest --file "$1" --json | jq -r .digest; }
more_synced() { [ "$(wc -l <"$D/synced")" -gt $(($1 + 2)) ]; }

# All that is written by now is agreed, and a later record in the journal of NODE says so.
known_at() { # NODE
  local last
  last=$(field nwk .last)
  wait_until 20 is nwk ".agreed >= $last" || fail "it is not agreed: $(field nwk .)"
  last=$(field nwk .last)
  wait_until 20 is "$1" ".durable > $last" || fail "$1 stands still: $(field "$1" .)"
}

# mountable IMAGE WHAT [FILE]: a copy of it, with what stands in $D/must, and without the file.
mountable() {
  cp --sparse=always "$1" "$D/copy.img" || fail "$2: no copy"
  mkdir -p "$D/copy"
  MOUNT[copy]=$D/copy FILE[copy]=
  mount -o loop "$D/copy.img" "$D/copy" || fail "$2 cannot be mounted"
  sed "s,$D/mnt/,$D/copy/,;" "$D/must" | sha256sum --check --quiet >"$D/check" 2>&1 ||
    fail "$2 lacks what was synced before: $(head -n 3 "$D/check")"
  [ -z "${3:-}" ] || [ ! -e "$D/copy/$3" ] || fail "$2: not older than $3"
  ls -lR "$D/copy" >/dev/null || fail "$2: cannot be listed"
  unmount copy
  unset "FILE[copy]"
  e2fsck -fn "$D/copy.img" >"$D/check" 2>&1 || fail "$2 is not clean after a journal replay: $(head -n 5 "$D/check")"
  echo "$SECONDS s: $2: mounted and clean, $(wc -l <"$D/must") files as they were synced"
}

# What a person would do with what is left of a mirror: start its daemon alone, stop it in good order.
# It is another machine here, so nothing of the deployment can reach it.
alone() { # STATE NODE
  sed 's/127\.0\.0\.1:/127.0.0.2:/' "$S/topology.yaml" >"$D/alone.yaml"
  background "$BUILD/mirrord/dipole-mirrord" --topology "$D/alone.yaml" --node "$2" --state "$1" >"$D/alone.log" 2>&1
  local p=$!
  wait_until 20 grep -q ' ready ' "$D/alone.log" || fail "$2 does not start alone: $(tail -n 3 "$D/alone.log")"
  kill "$p"
  await 20 "$p" || fail "$2 does not stop alone: $(tail -n 3 "$D/alone.log")"
  grep -q 'stopped clean=1' "$D/alone.log" || fail "$2 is not stopped in good order: $(tail -n 3 "$D/alone.log")"
}

# ---- the test ----

up "$D/t.yaml"
attach disk "$(uri disk)"
mkfs.ext4 -q -F "${DEVICE[disk]}" || fail "mkfs.ext4"
mount_at disk "$D/mnt"
: >"$D/synced"
background churn
churn=$!
churns

# 1. Stopped, so as it would be found if it were killed; sometimes after the host has gone on without it.
for ((round = 1; round <= ${ROUNDS:-4}; round++)); do
  victim=$([ $((RANDOM % 2)) = 0 ] && echo west || echo east)
  churns
  cp "$D/synced" "$D/must"
  known_at "$victim"
  sleep "0.$((RANDOM % 1000))" # a random moment
  p=$(pid_of "$victim")
  kill -STOP "$p"
  what="$victim, killed" newer=
  if [ $((RANDOM % 2)) = 0 ]; then
    churns
    churns
    what="$victim, behind" newer=$(newest)
  fi
  rm -rf "$D/left"
  mkdir "$D/left"
  cp --sparse=always "$S/$victim"/{journal,image}.* "$S/$victim/key" "$D/left" || fail "no copy of $victim"
  kill -KILL "$p"
  alone "$D/left" "$victim"
  mountable "$D/left/image.disk" "$what" "$newer"
  wait_until 60 all_open || fail "$victim does not come back"
  wait_until 60 is nwk 'all(.links[]; .in_sync)' || fail "$victim does not count again: $(field nwk .links)"
done

# 2. Behind by more than the journals keep: the image it had stays whole while a new one is filled.
churns
cp "$D/synced" "$D/must"
last=$(field nwk .last)
wait_until 20 is west ".applied >= $last" || fail "west does not apply: $(field west .)"
dipole pause main west --drop --state "$S" >/dev/null || fail "pause"
churns
newer=$(newest)
dipole resume main west --state "$S" >/dev/null || fail "resume"
wait_until 60 is west '.images.state == "Resyncing" and .images.resync.copied_bytes > 1000000' || fail "no resync: $(field west .images)"
held=$(digest_of "$S/west/image.disk")
mountable "$S/west/image.disk" "west, being resynced" "$newer"
resync_rate 16MiB west
wait_until 30 is west '.images.resync.copied_bytes > 24000000' || fail "the resync does not go on: $(field west .images)"
resync_rate 2MiB west
is west '.images.state == "Resyncing"' || fail "the resync was too quick to be looked at"
kill -KILL "$(pid_of west)"
mountable "$S/west/image.disk" "west, killed in its resync" "$newer"
[ "$(digest_of "$S/west/image.disk")" = "$held" ] || fail "what west had has changed in its resync"
wait_until 30 is west '.images.state == "Resyncing"' || fail "the resync does not go on"
resync_rate 64MiB west
wait_until 60 is west '.images.state == "UpToDate"' || fail "the resync does not end: $(field west .images)"
wait_until 60 is nwk 'all(.links[]; .in_sync)' || fail "west does not count again: $(field nwk .links)"

# 3. In the end all is everywhere.
churns
touch "$D/enough"
await 60 "$churn" || fail "the file operations failed: $(tail -n 3 "$D/churn.err")"
cp "$D/synced" "$D/must"
detach disk
same_everywhere
stop_up
[ "$UP_STATUS" = 0 ] || fail "it does not stop in good order: $UP_STATUS"
mountable "$S/west/image.disk.1" "west, in the end"
mountable "$S/east/image.disk" "east, in the end"
pass

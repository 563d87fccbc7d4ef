#!/bin/bash
# SPDX-License-Identifier: MIT
# Nodes lose their power under a load that verifies itself: one, two, all at once, at random moments,
# also while they recover. Nothing that was answered is missing, no node has less than it had said,
# and no copy differs.
#
# `kill -9` leaves what was written to the kernel, so it shows nothing about durability. Here each
# node's state is an ext4 file system on a disk with a volatile write cache, which is nbdkit's cache
# filter. With that killed, what was not flushed is lost, be it the daemon's or ext4's own; but the
# disk may have written any of it already.
# usage: [ROUNDS=6] [SEED=N] [TOPOLOGY=bipolar-cascade] [ACK='{stage: ..., legs: ...}'] power-loss.sh
source "$(dirname "$0")/lib.sh"
source "$HERE/disk.sh"
needs_file_systems
nbdkit --dump-plugin --filter=cache --filter=delay file >/dev/null 2>&1 || skip "needs nbdkit's cache and delay filters"
rounds=${ROUNDS:-6}
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
NAME="$NAME seed $SEED"
SECONDS=0

sed -E -e 's/(journal: |journal: \{size: )(256MiB|1GiB)/\116MiB/' -e 's/size: (256MiB|1GiB)/size: 64MiB/' \
  -e "${ACK:+s/ack: .*/ack: $ACK/}" \
  -e 's/^links:/heartbeat: {interval: 200ms, down-after: 3s, probation: 500ms}\nlinks:/' \
  "$EXAMPLES/${TOPOLOGY:-bipolar-cascade}.yaml" >"$D/t.yaml"
mapfile -t all < <(sed -nE 's/^  ([a-z0-9-]+): +\{role:.*/\1/p' "$D/t.yaml")
controller=$(sed -nE 's/^    controller: //p' "$D/t.yaml")

# ---- power ----

# Daemons start when their power is on. Their state is on the disk; the log and the pid file, which
# `dipole up` writes, are in $S/NODE.
mkdir "$D/bin" "$D/on" "$D/began" "$D/img" "$D/disk"
cat >"$D/bin/daemon" <<END
#!/bin/bash
until [ -e "$D/on/\$4" ] && echo \$\$ >"$D/began/\$4" && [ -e "$D/on/\$4" ]; do sleep 0.05; done
key=$D/disk/\$4/key
[ -s "\$key" ] || { cp "$S/\$4/key" "\$key" && sync "\$key"; }
for program in controller/dipole-controller relay/dipole-relay mirrord/dipole-mirrord; do
  [ "\${program#*/}" != "\${0##*/}" ] || exec "$BUILD/\$program" "\${@:1:4}" --state "$D/disk/\$4"
done
END
chmod +x "$D/bin/daemon"
for name in controller relay mirrord; do ln -s daemon "$D/bin/dipole-$name"; done
export DIPOLE_BIN_DIR=$D/bin:${DIPOLE_BIN_DIR:-}

# What is not in the disk of a stopped cache yet: any sectors of it may be, or none.
cat >"$D/bin/keep" <<'END'
import os, random, sys
pid, disk, seed = sys.argv[1:]
random.seed(seed)
share = random.choice((0, 0, 0.1, 0.5, 0.9, 1))
fds = f"/proc/{pid}/fd/"
cache = next(fds + n for n in os.listdir(fds) if os.readlink(fds + n).endswith(" (deleted)"))
cache, disk = os.open(cache, os.O_RDONLY), os.open(disk, os.O_RDWR)
at = kept = lost = 0
while True:
    try:
        at = os.lseek(cache, at, os.SEEK_DATA)
    except OSError:
        break  # no more
    size = min(os.lseek(cache, at, os.SEEK_HOLE) - at, 65536)
    new, old = os.pread(cache, size, at), os.pread(disk, size, at)
    for i in range(0, size if new != old else 0, 512):
        if new[i:i + 512] == old[i:i + 512]:
            continue
        if random.random() < share:
            os.pwrite(disk, new[i:i + 512], at + i)
            kept += 1
        else:
            lost += 1
    at += size
print("unflushed", kept, lost)
END

declare -A CACHE=() # the nbdkit of a node's disk

# A disk writes for a while; so the moment of a power loss is often one in which it does.
power_on() { # NODE
  local socket=$D/img/$1.$((attached + 1))
  TMPDIR=$D/img nbdkit -f -U "$socket" --filter=cache --filter=delay file "$D/img/$1" \
    cache=writeback delay-write=1ms >>"$D/img/log" 2>&1 &
  CACHE[$1]=$!
  disown
  # The file of the socket is there before nbdkit listens.
  wait_until 20 nbdinfo --size "nbd+unix:///?socket=$socket" || fail "nbdkit: $(tail -n 3 "$D/img/log")"
  attach "$1" "nbd+unix:///?socket=$socket"
  mount_at "$1" "$D/disk/$1" -o commit=300 # ext4 is to sync nothing by itself
  : >"$D/on/$1"
}

# The pid of a node that is more than waiting for its power. Without power none begins: one that has seen
# the power says so here and looks again.
runs() {
  local p
  p=$(cat "$D/began/$1" 2>/dev/null) && [ -n "$p" ] && ours "$p" && echo "$p"
}
ended() { ! runs "$1" >/dev/null || { kill -KILL "$(runs "$1")"; false; }; }

power_off() { # NODES...
  local node p caches=() pids=()
  for node in "$@"; do
    rm "$D/on/$node"
    caches+=("${CACHE[$node]}")
    p=$(runs "$node") && pids+=("$p")
  done
  kill -STOP "${caches[@]}" # from here on nothing becomes durable
  [ ${#pids[@]} = 0 ] || kill -KILL "${pids[@]}"
  for node in "$@"; do
    python3 "$D/bin/keep" "${CACHE[$node]}" "$D/img/$node" "$RANDOM" >>"$D/img/log" 2>&1 ||
      fail "the cache of $node cannot be read: $(tail -n 3 "$D/img/log")"
    kill -KILL "${CACHE[$node]}"
    unset "CACHE[$node]"
    wait_until 30 ended "$node" || fail "$node does not end"
    rm -f "$D/began/$node" # the number may be another's soon
    tear_off "$node"
  done
}

release() {
  local node p
  for node in "${!CACHE[@]}"; do kill -KILL "${CACHE[$node]}"; done
  for node in "${all[@]}"; do p=$(runs "$node") && kill -KILL "$p"; done
} 2>/dev/null

# ---- the test ----

early() { qio "$volume" 'read -P 7 32M 1M' 'read -P 8 48M 512' || fail "what was answered first is lost: $(cat "$D/qio.log")"; }

for node in "${all[@]}"; do
  truncate -s 512M "$D/img/$node"
  mkfs.ext4 -q -F "$D/img/$node" || fail "mkfs.ext4"
  mkdir -p "$S/$node"
  ln -s "$D/disk/$node/control.sock" "$S/$node/control.sock"
  power_on "$node"
done
ln -s "$D/disk/$controller/host.sock" "$S/$controller/host.sock"
up "$D/t.yaml"
volume=$(volumes | head -n 1)

# At first all is new: the files, their names, what is in them.
qio "$volume" 'write -P 7 32M 1M' flush 'write -P 8 48M 512' || fail "write: $(cat "$D/qio.log")"
power_off "${all[@]}"
for node in "${all[@]}"; do power_on "$node"; done
wait_until 60 all_open || fail "not all links come back after the first power loss"
early

background fio_until_enough "$volume" 16 --bsrange=512-128k --rate=6M
load=$!
wait_until 20 is "$controller" '.last > 20' || fail "no load"
for ((round = 1; round <= rounds; round++)); do
  sleep "0.$((RANDOM % 900 + 100))" # a random moment
  i=$((RANDOM % ${#all[@]})) j=$((RANDOM % (${#all[@]} - 1) + 1))
  case $((RANDOM % 5)) in
  0 | 1) victims=("${all[@]}") ;;
  2) victims=("${all[i]}" "${all[(i + j) % ${#all[@]}]}") ;;
  *) victims=("${all[i]}") ;;
  esac
  next=$((RANDOM % 3))
  power_off "${victims[@]}"
  echo "$SECONDS s: round $round: ${victims[*]}"
  sleep "0.$((RANDOM % 5))"
  for node in "${victims[@]}"; do power_on "$node"; done
  gone "$load" && fail "fio ended in round $round: $(fio_said)"
  [ "$next" = 0 ] && continue # before all is well again
  wait_until 60 all_open || fail "round $round: not all links come back"
  before=$(field "$controller" .last)
  wait_until 60 is "$controller" ".last > $before + 20" || fail "round $round: writes wait"
done
wait_until 60 all_open || fail "not all links come back"
touch "$D/enough"
await 120 "$load" || fail "fio: $(fio_said)"
early
same_everywhere
odd=$(grep -h -E ' (alarm|stream-failed) ' "$S"/*/log | grep -vE 'did not stop cleanly|high-water')
[ -z "$odd" ] || fail "no power loss explains this: $odd"

# A power loss after a stop in good order: what is in the images is durable.
declare -A digest=()
for volume in $(volumes); do
  digest[$volume]=$(dipole digest "$volume" --state "$S" --json | jq -r '.mirrors[0].digest')
done
stop_up
[ "$UP_STATUS" = 0 ] || fail "it does not stop in good order: $UP_STATUS"
power_off "${all[@]}"
for node in "${all[@]}"; do
  power_on "$node"
  [ -e "$D/disk/$node/clean" ] || fail "$node has lost its mark of a clean stop"
  for volume in "${!digest[@]}"; do
    image=$D/disk/$node/image.$volume
    [ ! -e "$image" ] || [ "$(dipole digest --file "$image" --json | jq -r .digest)" = "${digest[$volume]}" ] ||
      fail "$image is another after a stop in good order and a power loss"
  done
done
awk '/^unflushed/ {n++; some += $2 + $3 > 0; kept += $2; lost += $3} END {
  printf "power losses: %d, %d in mid-write; sectors lost %d, kept %d; ", n, some, lost, kept}' "$D/img/log"
echo "torn tails: $(cat "$S"/*/log | grep ' recovered ' | grep -vc torn_bytes=0), verified runs: $(cat "$D/runs")"
pass

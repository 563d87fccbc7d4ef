#!/bin/bash
# SPDX-License-Identifier: MIT
# A disk that fails under a journal, at a mirror, at a relay and at the controller, under a load that
# verifies itself: nothing is acknowledged from that file any more, what it holds is copied into a new
# one, and the host sees a pause. Where no new one can be made the node says so and serves no more,
# while the host goes on with the others.
source "$(dirname "$0")/lib.sh"
[ -w /dev/fuse ] && command -v nbdfuse fusermount3 >/dev/null || skip "needs FUSE"

BAD_DISKS=()
leave() {
  local status=$? disk
  trap '' INT TERM
  each_daemon -KILL
  for disk in "${BAD_DISKS[@]}"; do fusermount3 -u -z "$disk"; done
  (exit "$status")
  cleanup
}
trap leave EXIT

# The journal of node $1 on a disk whose writes fail as soon as $D/$1.bad exists.
put_on_bad_disk() {
  local journal=$S/$1/journal.orders disk=$D/$1.disk
  mv "$journal" "$D/$1.journal"
  : >"$disk"
  background nbdfuse "$disk" [ nbdkit --exit-with-parent --filter=error file "$D/$1.journal" \
    error-pwrite=EIO error-pwrite-rate=100% error-file="$D/$1.bad" ] 2>>"$D/nbdfuse.log"
  BAD_DISKS+=("$disk")
  wait_until 20 test -s "$disk" || fail "no disk for the journal of $1"
  ln -s "$disk" "$journal"
}

# held_up NODE COMMAND...: it succeeds after the node was stopped for a moment: shorter than down-after,
# longer than a lazy journal waits.
held_up() {
  kill -STOP "$(pid_of "$1")"
  sleep 0.35
  kill -CONT "$(pid_of "$1")"
  sleep 0.35
  "${@:2}"
}

alarmed() { field "$1" '.alarms[].text' | grep -q "$2"; }
renewed() { is "$1" '.journal.renewals == 1 and (.journal.renewing | not)'; }

sed -E -e 's/^( +)ack: .*/&\n\1when-leg-down: {keep-serving: 1}/' \
  -e '/^nodes:/,$s/256MiB/64MiB/' -e '/^links:/i heartbeat: {interval: 100ms, down-after: 500ms, probation: 200ms}' \
  "$EXAMPLES/bipolar-cascade.yaml" >"$D/t.yaml"
up "$D/t.yaml"
stop_up
for node in west relay-east-1 nwk; do put_on_bad_disk "$node"; done
up "$D/t.yaml"

background fio_until_enough data 16 --rate=8M
load=$!
wait_until 20 is nwk '.last > 100' || fail "no load"
for node in west relay-east-1 nwk; do
  touch "$D/$node.bad"
  # The controller's journal is lazy: it takes a record only where a leg is late, and between two runs
  # of fio there is none.
  hold_up=()
  [ "$node" != nwk ] || hold_up=(held_up relay-west)
  wait_until 30 "${hold_up[@]}" renewed "$node" || fail "the journal of $node is not made anew: $(field "$node" .journal)"
  alarmed "$node" "a write to the journal failed" || fail "no alarm at $node"
  [ -f "$S/$node/journal.orders" ] && [ ! -L "$S/$node/journal.orders" ] || fail "$node goes on in the same file"
  before=$(field nwk .acked_requests)
  wait_until 20 is nwk ".acked_requests > $before + 50" || fail "writes do not go on after $node"
  gone "$load" && fail "fio: $(fio_said)"
done

# What stands in the new files is found again.
for node in west relay-east-1 nwk; do kill -KILL "$(pid_of "$node")"; done
wait_until 30 all_open || fail "they do not come back: $(dipole status --state "$S")"
gone "$load" && fail "fio: $(fio_said)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere
pass

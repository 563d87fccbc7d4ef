#!/bin/bash
# SPDX-License-Identifier: MIT
# An outage that lasts: a mirror is away for RECORDS writes (120,000: an hour at 33 a second), while the
# host goes on with the other. What is kept for it stands in the journal, not in memory: every daemon
# stays within its window, before, during and after, and what it lacks arrives in order without a resync.
source "$(dirname "$0")/lib.sh"
ASAN_OPTIONS+=:quarantine_size_mb=16 # what is freed but kept back must not pass for memory in use
RECORDS=${RECORDS:-120000}
LIMIT_KIB=$(limit_kib $((256 * 1024))) # windows of 64 MiB, twice where a mirror applies; the index of the journal

high_water() { awk '/^VmHWM/ {print $2}' "/proc/$(pid_of "$1")/status"; }
within() {
  local n
  for n in nwk west east; do
    [ "$(high_water $n)" -lt "$LIMIT_KIB" ] || fail "$n has used $(high_water $n) KiB $1"
  done
}

sed -E -e 's/256MiB\}/1GiB}/' -e 's/size: 1GiB\}$/size: 256MiB}/' \
  -e 's/^( +)ack: .*/\1ack: {stage: cached, legs: 1}\n\1when-leg-down: {keep-serving: 1}/' \
  -e 's/^( +journal:).*/\1 {size: 1GiB}/' \
  -e '/^links:/i heartbeat: {interval: 100ms, down-after: 500ms, probation: 200ms}' \
  "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
up "$D/t.yaml"
kill -STOP "$(pid_of west)"
bounded 240 fio_load disk --rw=randwrite --bs=512 --iodepth=64 --size=128M --io_size=$((RECORDS * 512)) ||
  fail "the host does not go on: $(fio_said)"
behind=$(field nwk '.last - (.links[] | select(.leg == "west") | .cached)')
[ "$behind" -ge "$((RECORDS * 9 / 10))" ] || fail "only $behind records wait for west"
kill -CONT "$(pid_of west)"
kill -KILL "$(pid_of nwk)" # and what waits is found again
wait_until 60 is nwk '.state == "Open"' || fail "the controller does not come back"
wait_until 120 is nwk 'all(.links[]; .in_sync)' || fail "west does not catch up: $(field nwk .links)"
is west '.images.state == "UpToDate"' || fail "it was resynced: $(field west .alarms)"
field west '.alarms[].id' | grep -q resync && fail "it was resynced: $(field west .alarms)"
within "with $behind records of backlog"
same_everywhere
within "in the end"
echo "memory, KiB: nwk $(high_water nwk) west $(high_water west) east $(high_water east); $behind records waited"
pass

#!/bin/bash
# SPDX-License-Identifier: MIT
# A volume of 200 GiB, sparse: what was written to its beginning, middle and end is there after
# restarts of everything and on a mirror that was filled again, in the time of what was written.
source "$(dirname "$0")/lib.sh"

sed -E -e 's/size: 1GiB/size: 200GiB/' \
  -e 's/^( +)flush: .*/\1flush: committed\n\1when-leg-down: {keep-serving: 1}/' \
  -e '/^links:/i heartbeat: {interval: 100ms, down-after: 500ms, probation: 200ms}' \
  -e 's/journal: 256MiB/journal: 32MiB/; s/size: 256MiB/size: 32MiB/' "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
places=(0 1M 99G 150000000000 214748299264) # the last: up to the end
is_in() { is nwk ".links[] | select(.leg == \"$1\") | .in_sync"; }
read_back() {
  local i
  for i in "${!places[@]}"; do
    qio disk "read -P $((i + 1)) ${places[i]} 64k" || return 1
  done
  qio disk 'read -P 0 50G 1M' 'read -P 0 120G 1M'
}
verified() { bounded 90 dipole verify disk --state "$S" --timeout 60s >"$D/verify"; }

up "$D/t.yaml"
[ "$(bounded 20 nbdinfo --size "$(uri disk)")" = 214748364800 ] || fail "not of the configured size"
for i in "${!places[@]}"; do
  qio disk "write -P $((i + 1)) ${places[i]} 64k" flush || fail "write: $(cat "$D/qio.log")"
done
qio disk 'write -P 9 120G 1M' 'discard 120G 1M' flush || fail "trim: $(cat "$D/qio.log")"
bounded 60 fio_load disk --rw=write --bs=1M --iodepth=4 --offset=10G --size=64M || fail "fill: $(fio_said)"
read_back || fail "not what was written: $(cat "$D/qio.log")"
for node in nwk west east; do
  kill -KILL "$(pid_of $node)"
  wait_until 30 all_open || fail "$node does not come back"
done
read_back || fail "not what was written, after restarts: $(cat "$D/qio.log")"

p=$(pid_of east)
kill -STOP "$p"
find "$S/east" -mindepth 1 ! -name key -delete
kill -KILL "$p"
wait_until 40 is east '.images.generation == 1 and .images.state == "UpToDate"' ||
  fail "the resync of what is mostly empty takes too long: $(field east .images)"
wait_until 20 is_in east || fail "the leg does not count again"
[ "$(du -k "$S/east/image.disk.1" | cut -f1)" -lt 200000 ] || fail "the new image is not sparse"
verified || fail "copies differ: $(cat "$D/verify")"
read_back || fail "not what was written, after the resync: $(cat "$D/qio.log")"
pass

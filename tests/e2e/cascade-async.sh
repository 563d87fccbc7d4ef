#!/bin/bash
# With a cascade and ack cached, a write does not wait for what lies beyond the first relay: with
# that leg's mirror stopped writes go on, sets stay executing, a flush (flush: committed) waits.
source "$(dirname "$0")/lib.sh"
up "$ROOT/deploy/examples/bipolar-cascade.yaml"
kill -STOP "$(pid_of east)"
(cd "$D" && timeout 30 fio --name=w --ioengine=nbd --uri="$(uri data)" --rw=write --bs=64k --iodepth=4 --size=8M >"$D/w.log" 2>&1) ||
  fail "writes wait for a mirror beyond the relay: $(cat "$D/w.log")"
timeout 60 qemu-io -f raw "$(uri data)" -c 'write -P 3 16M 64k' -c flush >"$D/flush.log" 2>&1 &
flush=$!
CHILDREN+=("$flush")
wait_until 10 eval 'dipole sets orders --state "$D/s" | grep -q executing' || fail "no set is executing"
kill -0 "$flush" || fail "the flush did not wait for the far mirror"
kill -CONT "$(pid_of east)"
wait "$flush" || fail "flush: $(cat "$D/flush.log")"
wait_until 30 committed nwk || fail "not committed after the mirror is back"
dipole sets orders --state "$D/s" | grep -q executing && fail "sets are still executing"
same_everywhere data nwk
pass

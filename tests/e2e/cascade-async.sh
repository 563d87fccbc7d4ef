#!/bin/bash
# SPDX-License-Identifier: MIT
# With a cascade and ack cached, a write does not wait for what lies beyond the first relay. With
# the far mirror stopped: writes go on; sets stay executing; a flush waits where it is to be
# committed and not where it is to be cached; a full relay makes writes wait, not fail.
source "$(dirname "$0")/lib.sh"

writes() { fio_load data --rw=write --bs=64k --iodepth=4 --size="$1" --offset="$2" --end_fsync=0; }
none_executing() { sets orders | jq -e 'all(.sets[]; .state != "executing")'; }
flush() { exec qemu-io -f raw "$(uri data)" -c 'write -P 3 200M 64k' -c flush >"$D/flush.log" 2>&1; }

# 1. A flush is to be committed.
up "$EXAMPLES/cascade.yaml"
kill -STOP "$(pid_of far)"
bounded 30 writes 8M 0 || fail "writes wait for a mirror beyond the relays: $(fio_said)"
background flush
flusher=$!
wait_until 10 executing orders || fail "no set is executing: $(sets orders)"
set=$(sets orders | jq '[.sets[] | select(.state == "executing")][0].last_id')
never_in 3 gone "$flusher" || fail "the flush did not wait for the far mirror"
bounded 30 writes 4M 32M || fail "writes wait behind a flush that waits: $(fio_said)"
executing orders >/dev/null || fail "a set is committed without the far mirror"
dipole sets orders --state "$S" --wait "$set" --timeout 1s >/dev/null 2>&1 &&
  fail "sets --wait returned before the far mirror had the set"
kill -CONT "$(pid_of far)"
await 60 "$flusher" || fail "the flush does not end: $(cat "$D/flush.log")"
bounded 30 dipole sets orders --state "$S" --wait "$set" --timeout 20s >/dev/null ||
  fail "set $set is not committed though the mirror is back"
same_everywhere
stop_up
S=$D/s2

# 2. A flush is to be cached; the relays keep little.
sed -E 's/flush: committed/flush: cached/; s/(relay-[123]:.*journal: )256MiB/\116MiB/' \
  "$EXAMPLES/cascade.yaml" >"$D/small.yaml"
up "$D/small.yaml"
kill -STOP "$(pid_of far)"
bounded 30 writes 2M 0 || fail "writes wait: $(fio_said)"
bounded 20 flush || fail "a flush that is to be cached waits for the far mirror"
wait_until 10 executing orders || fail "no set is executing: $(sets orders)"
never_in 2 none_executing || fail "the set is committed without the far mirror"
# 1024 writes; the first relay keeps what is not committed and so has room for some 240.
before=$(field nyc .acked_requests)
background writes 64M 64M
writer=$!
still() { # the number of answered writes, once it has not grown for 3 s
  local last=-1 at
  while at=$(field nyc .acked_requests) && [ "$at" != "$last" ]; do
    last=$at
    never_in 3 is nyc ".acked_requests != $at" || last=-1
  done
  echo "$at"
}
wait_until 20 is nyc ".acked_requests - $before > 100" || fail "writes stop long before the relay is full"
at=$(still)
gone "$writer" && fail "writes ended (fio: $(fio_said)) though the relay has no room"
[ $((at - before)) -lt 400 ] || fail "$((at - before)) writes of 64 KiB were answered with a journal of 16 MiB"
bounded 20 qemu-io -r -f raw "$(uri data)" -c 'read -P 3 200M 64k' >"$D/read.log" || fail "reads wait too"
kill -CONT "$(pid_of far)"
await 60 "$writer" || fail "waiting writes failed or did not end: $(fio_said)"
same_everywhere
wait_until 20 none_executing || fail "sets are still executing: $(sets orders)" # comparing closed the last
pass

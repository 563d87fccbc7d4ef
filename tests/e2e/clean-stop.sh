#!/bin/bash
# SPDX-License-Identifier: MIT
# SIGTERM stops everything in 20 s, idle or under load; started again, all data is there.
source "$(dirname "$0")/lib.sh"

stop_and_check() {
  local before p
  before=$(cat "$S"/*/pid "$S"/*/nbdkit.pid)
  stop_up 20
  [ "$UP_STATUS" = 124 ] && fail "$1: up does not stop in 20 s"
  [ "$UP_STATUS" = 0 ] || fail "$1: up ended with $UP_STATUS: $(tail -n 3 "$D/up.log")"
  for p in $before; do gone "$p" || fail "$1: process $p still runs"; done
  for n in $(nodes); do
    tail -n 1 "$S/$n/log" | grep -q 'stopped clean=1' || fail "$1: $n did not stop cleanly: $(tail -n 1 "$S/$n/log")"
  done
}

unclean() { field "$1" '.alarms[].id' | grep -q unclean-stop; }

up "$EXAMPLES/bipolar-cascade.yaml"
qio data 'write -P 11 3M 3M' flush || fail "write: $(cat "$D/qio.log")"
qio log 'write -P 12 1M 512' || fail "write: $(cat "$D/qio.log")"
keys=$(cat "$S"/*/key.pub)
stop_and_check idle

up "$EXAMPLES/bipolar-cascade.yaml"
[ "$keys" = "$(cat "$S"/*/key.pub)" ] || fail "other keys after a restart"
for n in $(nodes); do
  unclean "$n" && fail "$n says that it did not stop cleanly"
done
qio data 'read -P 11 3M 3M' || fail "after a restart: $(cat "$D/qio.log")"
qio log 'read -P 12 1M 512' 'read -P 0 1049088 512' || fail "after a restart: $(cat "$D/qio.log")"
same_everywhere
background fio_load data --rw=randwrite --bs=4k --iodepth=16 --size=64M --offset=64M --time_based --runtime=60
wait_until 20 is nwk '.acked_requests > 200' || fail "no load"
stop_and_check "under load"

up "$EXAMPLES/bipolar-cascade.yaml"
qio data 'read -P 11 3M 3M' || fail "after a stop under load: $(cat "$D/qio.log")"
same_everywhere
kill -KILL "$(pid_of west)"
wait_until 30 all_open || fail "west does not come back"
unclean west || fail "west does not say that it was killed"
unclean east && fail "east says that it was killed"
kill -STOP "$(pid_of east)"
stop_and_check "with a stopped daemon"
pass

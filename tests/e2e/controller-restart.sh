#!/bin/bash
# SPDX-License-Identifier: MIT
# The controller is restarted in good order, again and again, under a disk that is in use: the
# host sees a pause, no error. ROUNDS=N (default 4)
source "$(dirname "$0")/lib.sh"
up "$EXAMPLES/cascade.yaml"
background fio_until_enough data 16 --bsrange=512-128k --rate=6M
load=$!
nbd=$(cat "$S/$CONTROLLER/nbdkit.pid")
for ((round = 0; round < ${ROUNDS:-4}; round++)); do
  before=$(field "$CONTROLLER" .acked_requests)
  wait_until 20 is "$CONTROLLER" ".acked_requests > $before + 50" || fail "round $round: no load"
  old=$(pid_of "$CONTROLLER")
  kill -TERM "$old"
  wait_until 20 gone "$old" || fail "round $round: the controller does not end"
  wait_until 30 all_open || fail "round $round: the links do not come back"
  wait_until 30 is "$CONTROLLER" '.acked_requests > 50' || fail "round $round: the disk stands still"
  gone "$load" && fail "round $round: fio: $(fio_said)"
done
[ "$nbd" = "$(cat "$S/$CONTROLLER/nbdkit.pid")" ] || fail "the NBD server was restarted"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
[ "$(grep -c 'stopped clean=1' "$S/$CONTROLLER/log")" = "${ROUNDS:-4}" ] || fail "not every stop was clean"
same_everywhere
pass

#!/bin/bash
# kill -9 of a random daemon at random moments, ROUNDS times, under a load that verifies itself:
# the host sees pauses only, and nothing that was acknowledged is missing.
source "$(dirname "$0")/lib.sh"
up "$ROOT/deploy/examples/bipolar-cascade.yaml"
rounds=${ROUNDS:-10}
fio_verify data 96 900 --loops=$((rounds / 10 + 1)) --bsrange=512-64k --rate_iops=1500 &
load=$!
CHILDREN+=("$load")
done_rounds=0
while kill -0 "$load" 2>/dev/null && [ "$done_rounds" -lt "$rounds" ]; do
  victim=$(ls "$D"/s/*/pid 2>/dev/null | shuf -n 1)
  [ -n "$victim" ] && kill -9 "$(cat "$victim")" 2>/dev/null && done_rounds=$((done_rounds + 1))
  sleep "0.$((RANDOM % 900 + 100))" # the moment is random on purpose
done
wait "$load" || fail "fio: $(tail -n 5 "$D/fio.log")"
[ "$done_rounds" = "$rounds" ] || fail "the load ended after $done_rounds of $rounds kills"
same_everywhere data nwk
pass

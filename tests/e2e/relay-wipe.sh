#!/bin/bash
# retain: committed: a relay is killed under load and its journal deleted; nothing is missing.
source "$(dirname "$0")/lib.sh"
up "$ROOT/deploy/examples/bipolar-cascade.yaml"
fio_verify data 64 300 --rate_iops=400 &
load=$!
CHILDREN+=("$load")
wait_until 20 eval '[ "$(field nwk .streams[0].last)" -gt 100 ]' || fail "no load"
for relay in relay-east-1 relay-west relay-east-2; do
  kill -9 "$(pid_of $relay)"
  rm -f "$D/s/$relay"/journal.*
  before=$(field nwk .streams[0].last)
  wait_until 60 eval '[ "$(field nwk .streams[0].committed)" -gt '"$before"' ]' || fail "stuck after $relay lost its disk"
done
wait "$load" || fail "fio: $(tail -n 5 "$D/fio.log")"
field nwk '.streams[0].alarms[].text' | grep -q "lost its journal" || fail "the loss was not said"
same_everywhere data nwk
pass

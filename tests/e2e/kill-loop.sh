#!/bin/bash
# SPDX-License-Identifier: MIT
# kill -9 of a random daemon at random moments under a load that verifies itself: the host sees
# pauses only, and nothing that was acknowledged is missing.
# usage: [ROUNDS=10] [SEED=N] [TOPOLOGY=bipolar-cascade] kill-loop.sh; a campaign has 100 rounds
source "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-10}
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
NAME="$NAME seed $SEED"
up "$EXAMPLES/${TOPOLOGY:-bipolar-cascade}.yaml"
background fio_until_enough "$(volumes | head -n 1)" 16 --bsrange=512-128k --rate=6M
load=$!
wait_until 20 is "$CONTROLLER" '.last > 20' || fail "no load"
mapfile -t daemons < <(nodes)
for ((round = 1; round <= rounds; )); do
  gone "$load" && fail "fio ended in round $round: $(fio_said)"
  victim=${daemons[RANDOM % ${#daemons[@]}]}
  if p=$(cat "$S/$victim/pid" 2>/dev/null) && ours "$p" && kill -KILL "$p" 2>/dev/null; then
    echo "$round $victim" >>"$D/killed"
    round=$((round + 1))
  fi
  sleep "0.$((RANDOM % 900 + 100))" # a random moment, nothing is waited for
done
wait_until 60 all_open || fail "not all links come back"
touch "$D/enough"
await 120 "$load" || fail "fio: $(fio_said)"
same_everywhere
echo "kills:$(cut -d' ' -f2 "$D/killed" | sort | uniq -c | awk '{printf " %s %d", $2, $1}'), verified runs: $(cat "$D/runs")"
pass

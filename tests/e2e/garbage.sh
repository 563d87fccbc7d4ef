#!/bin/bash
# SPDX-License-Identifier: MIT
# Garbage and half-valid messages to every listening port and socket, under a light load, harm
# nothing. ROUNDS=N (default 1), SEED=N
source "$(dirname "$0")/lib.sh"
SEED=${SEED:-$RANDOM}
NAME="$NAME seed $SEED"
up "$EXAMPLES/bipolar-cascade.yaml"
background fio_until_enough data 8 --bsrange=512-64k --rate=2M
load=$!
wait_until 20 is nwk '.last > 20' || fail "no load"
before=$(pids)
bounded $((120 * ${ROUNDS:-1})) python3 "$HERE/garbage.py" "$S" "$SEED" "${ROUNDS:-1}" 2>"$D/garbage.log" || fail "the sender: $(tail -n 3 "$D/garbage.log")"
[ "$before" = "$(pids)" ] || fail "a daemon died: $(diff <(echo "$before") <(pids))"
wait_until 30 all_open || fail "a link is gone"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
for p in $(pids | cut -d' ' -f2); do
  kib=$(awk '/^VmHWM/ {print $2}' "/proc/$p/status")
  [ "$kib" -lt $((400 << 10)) ] || fail "process $p grew to $kib KiB"
done
same_everywhere
[ "$before" = "$(pids)" ] || fail "a daemon died: $(diff <(echo "$before") <(pids))"
pass

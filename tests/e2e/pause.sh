#!/bin/bash
# SPDX-License-Identifier: MIT
# Sending to a leg is stopped and resumed, and so is keeping for it, under load and without a restart
# of anything.
source "$(dirname "$0")/lib.sh"

sed -E -e 's/size: 1GiB/size: 128MiB/' \
  -e 's/^( +)flush: .*/\1flush: cached\n\1when-leg-down: {keep-serving: 1}/' "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
link() { field nwk ".links[] | select(.leg == \"$1\") | $2"; }
link_is() { is nwk ".links[] | select(.leg == \"$1\") | $2"; }

up "$D/t.yaml"
before=$(pids)
background fio_until_enough disk 32 --rate=8M
load=$!
wait_until 20 is nwk '.last > 100' || fail "no load"

dipole pause main west --state "$S" --json | jq -e '.order == "pause" and (.writes_wait | not)' >/dev/null ||
  fail "pause says something else"
wait_until 10 link_is west '.state == "Paused" and (.in_sync | not)' || fail "not paused: $(field nwk .links)"
acked=$(field nwk .acked_requests)
sent=$(link west .sent)
wait_until 10 is west ".last >= $sent" || fail "what was under way does not arrive" # before the pause
held=$(field west .last)
wait_until 20 is nwk ".acked_requests > $acked + 100" || fail "writes wait for a leg that is paused"
[ "$(field west .last)" = "$held" ] || fail "a paused leg is sent something"
link_is west '.behind.bytes > 0 and .at_risk.records > 0 and .at_risk.us > 0' || fail "not behind: $(field nwk .links)"
link_is east '.at_risk.records == 0 and .at_risk.us == 0' || fail "a leg that counts is at risk: $(field nwk .links)"
dipole resume main west --state "$S" >/dev/null || fail "resume fails"
wait_until 30 link_is west '.state == "Connected" and .in_sync' || fail "it does not catch up: $(field nwk .links)"
is west '.images.generation == 0' || fail "resynced, though all was kept"

dipole pause main east --drop --state "$S" | grep -q 'nothing is kept' || fail "drop says something else"
wait_until 10 link_is east '.state == "Paused" and (.in_sync | not)' || fail "not paused: $(field nwk .links)"
written=$(field nwk .last)
wait_until 60 is nwk ".last > $written + 300" || fail "writes wait"
wait_until 10 is nwk '.journal.used_bytes < 40000000' || fail "it is kept all the same: $(field nwk .journal)"
field nwk '.alarms[].text' | grep -q "as ordered" || fail "no alarm"
dipole resume main east --state "$S" >/dev/null || fail "resume fails"
wait_until 60 link_is east '.state == "Connected" and .in_sync' || fail "it does not come back: $(field nwk .links)"
is east '.images.generation == 1' || fail "not resynced, though nothing was kept"

gone "$load" && fail "fio: $(fio_said)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere

# A part of what is kept for a paused leg is dropped: up to a write set that has ended.
dipole pause main west --state "$S" >/dev/null || fail "pause"
wait_until 10 link_is west '.state == "Paused" and (.in_sync | not)' || fail "not paused: $(field nwk .links)"
for i in 1 2 3; do qio disk "write -P $i ${i}M 1M" flush || fail "write: $(cat "$D/qio.log")"; done
oldest_set() { dipole sets main --state "$S" --json | jq "[.sets[] | select(.state == \"executing\")][0] | $1"; }
dipole pause main west --drop --drop-to 1 --state "$S" 2>"$D/err"
[ $? = 64 ] || fail "two answers to how much: $(cat "$D/err")"
dipole pause main west --drop-to 999999999 --state "$S" 2>"$D/err" && fail "there is no such set"
grep -q "write set that is listed" "$D/err" || fail "a set that is not there: $(cat "$D/err")"
end=$(oldest_set .last_seq)
is nwk ".released < $end" || fail "it was not kept"
dipole pause main west --drop-to "$(oldest_set .last_id)" --state "$S" | grep -q resync || fail "drop-to says something else"
wait_until 10 is nwk ".released >= $end" || fail "kept all the same: $(field nwk .released), not $end"
is nwk ".released == $end and .last > $end" || fail "not a part: $(field nwk .released), not $end"
dipole resume main west --state "$S" >/dev/null || fail "resume fails"
wait_until 60 link_is west '.state == "Connected" and .in_sync' || fail "it does not come back: $(field nwk .links)"
is west '.images.generation == 1' || fail "not resynced, though a part was dropped"
same_everywhere

# The same by the clock: a link that sends at certain times of day, then at a certain rate.
at_minute() { date -d "@$(($(date +%s) + $1 * 60))" +%H:%M; }
link_says() { # KEY VALUE of the link to west
  sed -i -E "/between: \[nwk, west\]/,/between:/{/^    (send|rate):/d;s/^(    trusted:.*)/\1\n    $1: $2/}" "$S/topology.yaml"
  bounded 20 dipole reload --state "$S" --node nwk >"$D/reload" 2>&1 || fail "$1: $2 is not taken over: $(cat "$D/reload")"
}
link_says send "$(at_minute 120)-$(at_minute 180)"
wait_until 10 link_is west '.state == "Paused" and (.in_sync | not)' || fail "it sends out of hours: $(field nwk .links)"
link_is west '.health.state == "Connected"' || fail "hours pass for an outage"
qio disk 'write -P 4 4M 1M' flush || fail "write: $(cat "$D/qio.log")"
link_says send "$(at_minute -60)-$(at_minute 60)"
wait_until 30 link_is west '.state == "Connected" and .in_sync' || fail "it does not come back: $(field nwk .links)"
link_says rate 8Mbit
start=$(now_ms)
qio disk 'write -P 5 8M 4M' || fail "write: $(cat "$D/qio.log")"
wait_until 30 committed || fail "not all arrives"
took=$(($(now_ms) - start)) # the last of four records need not be waited for
[ "$took" -gt 2900 ] || fail "4 MiB took $took ms at 1 MB/s"
is west '.images.generation == 1' || fail "it was resynced"
same_everywhere
[ "$(pids)" = "$before" ] || fail "something was restarted"

dipole pause main north --state "$S" 2>"$D/err"
[ $? = 64 ] && grep -q "no leg 'north'" "$D/err" || fail "a leg that is not there: $(cat "$D/err")"
pass

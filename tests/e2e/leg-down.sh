#!/bin/bash
# SPDX-License-Identifier: MIT
# A leg that falls silent. Where the other is enough (keep-serving: 1) writes go on after a pause,
# and the leg catches up by itself when it is back, after probation, under load. Where both must
# count (the default) writes wait, and none fails.
source "$(dirname "$0")/lib.sh"

link() { field nwk ".links[] | select(.leg == \"$1\") | $2"; }
link_is() { [ "$(link "$1" "$2")" = true ]; }
topology() { # KEEP-SERVING
  sed -E "s/^links:/heartbeat: {interval: 100ms, down-after: 500ms, probation: 1s}\nlinks:/
    s/^( *)flush: .*/\1flush: cached\n\1when-leg-down: {keep-serving: $1}/" "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
  up "$D/t.yaml"
}

topology 1
background fio_until_enough disk 16 --bsrange=512-64k --rate=4M
load=$!
wait_until 20 is nwk '.last > 100' || fail "no load"
kill -STOP "$(pid_of west)"
wait_until 10 link_is west '.state == "Down"' || fail "the silence is not noticed: $(link west .)"
wait_until 10 link_is west '.in_sync | not' || fail "the silent leg still counts"
before=$(field nwk .acked_requests)
wait_until 30 is nwk ".acked_requests > $before + 200" || fail "writes wait for a leg that need not count"
link_is east .in_sync || fail "the other leg does not count"
field nwk '.alarms[].text' | grep -q "no longer counts" || fail "no alarm"
is nwk '.committed == .last' && fail "all is called committed without west"
kill -CONT "$(pid_of west)"
# (It may be over before it is looked at.)
wait_until 10 grep -q ' heartbeat peer=west state=Probation' "$S/nwk/log" || fail "no probation: $(link west .)"
wait_until 30 link_is west .in_sync || fail "west does not catch up under load: $(link west .)"
gone "$load" && fail "fio: $(fio_said)"

# The controller is killed while a leg is away: its journal has all, so it need not wait for it.
kill -STOP "$(pid_of east)"
wait_until 10 link_is east '.in_sync | not' || fail "the silent leg still counts"
kill -KILL "$(pid_of nwk)"
wait_until 20 is nwk '.state == "Open" and .acked_requests > 50' || fail "a new controller waits for the leg that is away"
kill -CONT "$(pid_of east)"
wait_until 20 link_is east .in_sync || fail "east does not catch up: $(link east .)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere
stop_up
rm -rf "$S" "$D/enough"

topology 2
background fio_until_enough disk 8 --bsrange=512-64k --rate=4M
load=$!
wait_until 20 is nwk '.last > 100' || fail "no load"
kill -STOP "$(pid_of west)"
wait_until 10 link_is west '.state == "Down"' || fail "the silence is not noticed"
wait_until 10 link_is east '.cached == .sent' || fail "east stands still"
before=$(field nwk .acked_requests)
never_in 2 is nwk ".acked_requests > $before" || fail "a write is answered without west"
kill -CONT "$(pid_of west)"
wait_until 30 is nwk ".acked_requests > $before + 50" || fail "writes do not go on"
gone "$load" && fail "fio: $(fio_said)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere
pass

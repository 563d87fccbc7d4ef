#!/bin/bash
# SPDX-License-Identifier: MIT
# `dipole events`: what there is, and then a line for each change: a leg that is cut off and comes back, a node that
# dies, an alarm once.
source "$(dirname "$0")/lib.sh"

sed -E -e 's/^( +)ack: .*/&\n\1when-leg-down: {keep-serving: 1}/' \
  -e '/^links:/i heartbeat: {interval: 100ms, down-after: 500ms, probation: 200ms}' \
  "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
up "$D/t.yaml"
seen() { grep -qE "$1" "$D/events"; }
after() { grep -nE "$1" "$D/events" | tail -n 1 | cut -d : -f 1; } # its line

bounded 20 dipole events --state "$S" >"$D/once" || fail "events: $(cat "$D/once")"
[ "$(tail -n 1 "$D/once")" = 'exists -' ] || fail "no end of what there is: $(cat "$D/once")"
for line in 'exists node name:nwk role:controller state:Up' 'exists stream node:nwk name:main state:Open epoch:2' \
  'exists link node:nwk stream:main leg:west peer:west state:Connected in_sync:yes' \
  'exists images node:east stream:main state:UpToDate generation:0'; do
  grep -qx "$line" "$D/once" || fail "\"$line\" is missing: $(cat "$D/once")"
done
bounded 20 dipole events --state "$S" --json >"$D/once" || fail "events: $(cat "$D/once")"
jq -e -s 'all(.[]; .event == "exists" and .at_us > 0) and any(.[]; .kind == "link" and .in_sync)' "$D/once" >/dev/null || fail "$(cat "$D/once")"

background "$BUILD/controller/cli/dipole" events --follow --state "$S" >"$D/events"
wait_until 20 seen '^exists -$' || fail "nothing comes"
before=$(wc -l <"$D/events")
sleep 2
[ "$(wc -l <"$D/events")" = "$before" ] || fail "events without a reason: $(tail -n +"$before" "$D/events")"
kill -STOP "$(pid_of west)"
wait_until 20 seen '^change link node:nwk .* peer:west state:Down in_sync:(yes|no)$' || fail "a leg goes down unseen: $(cat "$D/events")"
wait_until 20 seen '^change link node:nwk .* peer:west state:[A-Za-z]* in_sync:no$' || fail "it goes on counting: $(cat "$D/events")"
wait_until 20 seen '^create alarm node:nwk stream:main .*text:"a leg no longer counts' || fail "no alarm: $(cat "$D/events")"
kill -CONT "$(pid_of west)"
wait_until 30 seen '^change link node:nwk .* peer:west state:Connected in_sync:yes$' || fail "it comes back unseen: $(cat "$D/events")"
[ "$(grep -c 'a leg no longer counts' "$D/events")" = 1 ] || fail "an alarm twice"
pid=$(pid_of east)
kill -KILL "$pid"
back() { [ "$(pid_of east)" != "$pid" ] && all_open; }
wait_until 30 back || fail "east is not started again"
wait_until 20 seen '^create alarm node:east .*did not stop cleanly' || fail "no alarm of the node that died: $(cat "$D/events")"
[ "$(grep -c 'a leg no longer counts' "$D/events")" -le 2 ] || fail "old alarms again"
# For somebody who is to help: everything but secrets.
bounded 20 dipole report --state "$S" >"$D/report" || fail "report: $(head -c 300 "$D/report")"
jq -e '(.nodes | length == 3) and all(.nodes[]; .status.ok and (.log | length > 100)) and .machine.kernel and
  (.topology | test("role: controller"))' "$D/report" >/dev/null || fail "report: $(head -c 1000 "$D/report")"
for node in nwk west east; do
  grep -qF "$(head -c 30 "$S/$node/key")" "$D/report" && fail "a secret key is in the report"
done
stop_up
wait_until 20 seen '^change node name:nwk role:controller state:Down$' || fail "nobody sees it end: $(tail "$D/events")"
wait_until 20 seen '^destroy stream node:nwk name:main ' || fail "the stream stays"
bounded 20 dipole events --state "$S" >"$D/once" 2>&1
[ $? = 69 ] || fail "no node answers, and that is no error"
pass

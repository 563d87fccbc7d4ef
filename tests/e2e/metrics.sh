#!/bin/bash
# SPDX-License-Identifier: MIT
# Metrics: what `dipole status` says, for Prometheus; whether a node lives and is ready; alert rules that fire when
# a link is cut and are silent again after. Without Prometheus the test looks at the text only.
source "$(dirname "$0")/lib.sh"

M=$ROOT/deploy/monitoring
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
declare -A PORT
edit=
for node in nwk west east; do
  PORT[$node]=$(free_port)
  edit+="s/(  $node:.*listen: [^,}]*)/\1, metrics: \"tcp:\/\/127.0.0.1:${PORT[$node]}\"/;"
done
sed -E -e "$edit" -e 's/^( +)ack: .*/&\n\1when-leg-down: {keep-serving: 1}/' \
  -e '/^links:/i heartbeat: {interval: 100ms, down-after: 500ms, probation: 200ms}' \
  "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"

ask() { curl -s -m 10 -o "$D/body" -w '%{http_code}' "http://127.0.0.1:${PORT[$1]}$2"; } # NODE PATH: its status
says() { [ "$(ask "$1" "$2")" = "$3" ]; }
# value NODE SAMPLE: as it stands in the text, labels included.
value() { says "$1" /metrics 200 && awk -v s="$2" 'index($0, s " ") == 1 { print $NF }' "$D/body"; }

up "$D/t.yaml"
for node in nwk west east; do
  says $node /livez 200 || fail "$node does not live"
  wait_until 10 says $node /readyz 200 || fail "$node is not ready: $(cat "$D/body")"
done
says nwk /nothing 404 || fail "there is something at /nothing"
[ "$(curl -s -m 10 -X POST -d x -o "$D/body" -w '%{http_code}' "http://127.0.0.1:${PORT[nwk]}/metrics")" = 405 ] || fail "POST"

# What it says is what `dipole status` says.
bounded 60 fio_load disk --rw=randwrite --bs=4k --iodepth=4 --size=4M || fail "fio: $(fio_said)"
wait_until 20 committed || fail "not everything is committed"
last=$(field nwk .last)
[ "$(value nwk 'dipole_stream_record{stream="main",stage="committed"}')" = "$last" ] || fail "committed: $(cat "$D/body")"
[ "$(value nwk 'dipole_stream_open{stream="main"}')" = 1 ] || fail "open: $(cat "$D/body")"
[ "$(value nwk 'dipole_link_in_sync{stream="main",leg="west",peer="west"}')" = 1 ] || fail "in sync: $(cat "$D/body")"
[ "$(value nwk 'dipole_ack_seconds_count{stream="main"}')" -ge 1024 ] || fail "writes: $(cat "$D/body")"
wait_until 20 is west '.applied == .last' || fail "west does not apply"
[ "$(value west 'dipole_stream_record{stream="main",stage="applied"}')" = "$last" ] || fail "applied: $(cat "$D/body")"

# Each metric has one head, all its samples below it, and a unit that its name says.
ask nwk /metrics >/dev/null
awk '/^# TYPE/ { if (seen[$3]++) exit 1; name = $3 } !/^#/ { if (index($0, name) != 1) exit 1 }' "$D/body" || fail "not in order: $(cat "$D/body")"

# A node that is cut off, and comes back.
p=$(pid_of west)
if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
  promtool check rules "$M/dipole.rules.yml" >"$D/promtool" 2>&1 || fail "rules: $(cat "$D/promtool")"
  promtool test rules "$M/dipole.test.yml" >"$D/promtool" 2>&1 || fail "rules: $(cat "$D/promtool")"
  promtool check metrics <"$D/body" >"$D/promtool" 2>&1 || fail "metrics: $(cat "$D/promtool")"
  sed 's/for: 1m/for: 1s/' "$M/dipole.rules.yml" >"$D/dipole.rules.yml"
  sed -E -e 's/interval: 15s/interval: 1s\n  evaluation_interval: 1s/' \
    -e "s/targets: .*/targets: [127.0.0.1:${PORT[nwk]}, 127.0.0.1:${PORT[west]}, 127.0.0.1:${PORT[east]}]/" \
    "$M/prometheus.yml" >"$D/prometheus.yml"
  at=127.0.0.1:$(free_port)
  background prometheus --config.file="$D/prometheus.yml" --storage.tsdb.path="$D/tsdb" \
    --web.listen-address="$at" >"$D/prometheus.log" 2>&1
  alerts() { curl -s -m 10 "http://$at/api/v1/alerts" | jq -r '.data.alerts[] | select(.state == "firing") | .labels.alertname' | sort -u; }
  scraped() { curl -s -m 10 "http://$at/api/v1/query?query=sum(up)" | jq -e '.data.result[0].value[1] == "3"'; }
  fires() { alerts | grep -qx "$1"; }
  silent() { [ -z "$(alerts)" ]; }
  wait_until 30 scraped || fail "Prometheus does not get the metrics: $(tail -n 3 "$D/prometheus.log")"
  wait_until 10 silent || fail "alerts without a reason: $(alerts)"
  kill -STOP "$p"
  wait_until 30 fires DipoleLegOut || fail "no alert that a leg is out: $(alerts)"
  wait_until 30 fires DipoleLinkDown || fail "no alert that a link is down: $(alerts)"
  wait_until 30 fires DipoleNodeDown || fail "no alert that a node is down: $(alerts)"
  kill -CONT "$p"
  wait_until 60 silent || fail "alerts stay: $(alerts)"
else
  kill -STOP "$p"
  out() { [ "$(value nwk 'dipole_link_in_sync{stream="main",leg="west",peer="west"}')" = 0 ]; }
  wait_until 30 out || fail "a silent leg counts"
  kill -CONT "$p"
fi
wait_until 30 all_open || fail "the leg does not come back"
stop_up
[ "$UP_STATUS" = 0 ] || fail "up ends with $UP_STATUS"
pass

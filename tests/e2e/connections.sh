#!/bin/bash
# SPDX-License-Identifier: MIT
# Several connections to one peer: each stream has its own, each is shown with state and age, one
# heartbeat closes and opens them all. One of the links compresses, which is seen there and nowhere else.
source "$(dirname "$0")/lib.sh"

cat >"$D/t.yaml" <<Y
dipole: 1
name: several
sites: {a: {at: [40, -74]}, b: {at: [40, -75]}, c: {at: [40, -73]}}
nodes:
  nwk:  {role: controller, site: a, listen: tcp://10.0.0.1:7400}
  west: {role: mirror, site: b, listen: tcp://10.0.0.2:7400, journal: 32MiB}
  east: {role: mirror, site: c, listen: tcp://10.0.0.3:7400, journal: 32MiB}
heartbeat: {interval: 100ms, down-after: 500ms, probation: 300ms}
links:
  - {between: [nwk, west], connections: 2}
  - {between: [nwk, east], compress: true}
streams:
  one: &stream
    controller: nwk
    legs: {west: [west], east: [east]}
    when-leg-down: {keep-serving: 1}
    journal: {size: 32MiB}
  two:
    controller: nwk
    legs: {west: [west], east: [east]}
    when-leg-down: {keep-serving: 1}
    journal: {size: 32MiB}
volumes:
  first: {stream: one, size: 16MiB}
  second: {stream: two, size: 16MiB}
Y
sed -i 's/ &stream//' "$D/t.yaml"
connections() { dipole links --state "$S" --json | jq -e "[.connections[] | select($1)] | length == $2" >/dev/null; }
three() { [ "$(ss -Htnp state established 2>/dev/null | grep -c "pid=$(pid_of nwk),")" = 3 ]; }

up "$D/t.yaml"
wait_until 20 connections '.node == "nwk" and .peer == "west" and .state == "Connected"' 2 || fail "$(dipole links --state "$S")"
wait_until 20 connections '.node == "nwk" and .peer == "east" and .state == "Connected"' 1 || fail "$(dipole links --state "$S")"
dipole links --state "$S" | grep -qE '^nwk +west +1 +Connected +[0-9.]+m?s ' || fail "$(dipole links --state "$S")"
wait_until 20 three || fail "not three TCP connections"
for volume in first second; do
  bounded 60 fio_verify $volume 8 || fail "fio: $(fio_said)"
done
kill -STOP "$(pid_of west)"
wait_until 10 connections '.peer == "west" and .state == "Down"' 2 || fail "one stays open: $(dipole links --state "$S")"
wait_until 2 connections '.peer == "east" and .state == "Connected"' 1 || fail "the other link is closed too"
kill -CONT "$(pid_of west)"
wait_until 20 connections '.peer == "west" and .state == "Connected" and .age_us < 20000000' 2 ||
  fail "they do not come back: $(dipole links --state "$S")"
wait_until 20 all_open || fail "a leg does not come back"
for volume in first second; do
  qio $volume 'write -P 5 0 1M' || fail "qemu-io"
done
wait_until 20 committed || fail "not everything is committed"
connections '.peer == "east" and .compress_out_bytes < .compress_in_bytes / 2 and .compress_in_bytes > 10000000' 1 ||
  fail "nothing is compressed: $(dipole links --state "$S" --json)"
connections '.peer == "west" and .compress_in_bytes == 0' 2 || fail "what is not to be compressed is"
# A rate counts what goes out: 12 MiB that shrink take less than 12 s at 1 MB/s, and 4 MiB that do not take 4.
sed -i 's/^\( *\)compress: true/&\n\1rate: 8Mbit/' "$S/topology.yaml"
bounded 20 dipole reload --state "$S" --node nwk >"$D/reload" || fail "reload: $(cat "$D/reload")"
arrived() { field nwk '.last as $last | .links | all(.committed == $last)' | grep -q true; }
start=$(now_ms)
for at in 0 4 8; do
  qio first "write -P $((at + 1)) ${at}M 4M" || fail "qemu-io: $(cat "$D/qio.log")"
done
wait_until 30 arrived || fail "it does not arrive: $(field nwk .links)"
took=$(($(now_ms) - start))
[ "$took" -lt 8000 ] || fail "12 MiB that shrink took $took ms"
start=$(now_ms)
head -c 4M /dev/urandom >"$D/noise"
bounded 30 nbdcopy "$D/noise" "$(uri first)" || fail "nbdcopy"
wait_until 30 arrived || fail "it does not arrive: $(field nwk .links)"
took=$(($(now_ms) - start))
[ "$took" -gt 2900 ] || fail "4 MiB of noise took $took ms at 1 MB/s"
sed -i '/rate: 8Mbit/d' "$S/topology.yaml"
# What cannot be compressed goes as it is; and a changed file counts at once.
before=$(dipole links --state "$S" --json | jq '[.connections[] | select(.peer == "east")][0].compress_out_bytes')
head -c 4M /dev/urandom >"$D/noise"
bounded 30 nbdcopy "$D/noise" "$(uri first)" || fail "nbdcopy"
connections ".peer == \"east\" and .compress_out_bytes >= $before + 4194304" 1 || fail "noise shrinks"
same_everywhere
sed -i '/compress: true/d' "$S/topology.yaml"
bounded 20 dipole reload --state "$S" --node nwk >"$D/reload" || fail "reload: $(cat "$D/reload")"
grep -q 'compression of what is sent to east' "$D/reload" || fail "reload: $(cat "$D/reload")"
counted() { dipole links --state "$S" --json | jq '[.connections[] | select(.peer == "east")][0].compress_in_bytes'; }
before=$(counted)
qio first 'write -P 6 0 1M' || fail "qemu-io"
[ "$(counted)" = "$before" ] || fail "it is still compressed"
same_everywhere
stop_up
[ "$UP_STATUS" = 0 ] || fail "up ends with $UP_STATUS"
pass

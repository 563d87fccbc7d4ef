#!/bin/bash
# A file with ten mistakes gives ten messages with file, line, column and key, in one run.
source "$(dirname "$0")/lib.sh"
cat >"$D/bad.yaml" <<'Y'
dipole: 1
name: bad
sites:
  a: {at: [140.0, -74.0]}
nodes:
  ctl: {role: controler, site: a, listen: tcp://10.0.0.1:7400}
  west: {role: mirror, site: nowhere, listen: tcp://10.0.0.2:7400, journal: 8GB8}
  east: {role: mirror, site: a, listen: udp://10.0.0.3:7400, jurnal: 1GiB}
links:
  - {between: [west, east], distance: 5parsec}
  - {between: [west, wst]}
streams:
  s: {controller: ctl, legs: {w: [west]}, ack: {stage: cachd, legs: all}, flush: committed}
volumes:
  v: {stream: s, size: 100}
Y
dipole topology check "$D/bad.yaml" >"$D/out" 2>&1
[ $? = 78 ] || fail "exit code is not 78"
count=$(grep -cE "^$D/bad.yaml:[0-9]+:[0-9]+: [a-z(]" "$D/out")
[ "$count" = 10 ] || fail "$count messages instead of 10: $(cat "$D/out")"
"$BUILD/relay/dipole-relay" --topology "$D/bad.yaml" --node ctl --state "$D" --check-config >/dev/null 2>&1
[ $? = 78 ] || fail "the daemon took a wrong file"
good=$ROOT/deploy/examples/bipolar.yaml
"$BUILD/relay/dipole-relay" --topology "$good" --node nobody --state "$D" --check-config >/dev/null 2>&1
[ $? = 78 ] || fail "the daemon took an unknown node"
"$BUILD/relay/dipole-relay" --topology "$D/none.yaml" --node x --state "$D" >/dev/null 2>&1
[ $? = 66 ] || fail "a missing file is not told by 66"
pass

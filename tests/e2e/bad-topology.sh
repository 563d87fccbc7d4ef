#!/bin/bash
# SPDX-License-Identifier: MIT
# Mistakes in files are told, all in one run, with file, line, column and key; daemons refuse
# files and names that are not theirs, and keys that others can read.
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
code() { # EXIT-CODE COMMAND...; the output is $D/out
  local want=$1 got
  shift
  bounded 20 "$@" >"$D/out" 2>&1
  got=$?
  [ "$got" = "$want" ] || fail "exit code $got instead of $want: ${*/#$BUILD\//} said: $(cat "$D/out")"
}
say() { grep -qE "$1" "$D/out" || fail "no word of $1: $(cat "$D/out")"; }

command=$BUILD/controller/cli/dipole
code 78 "$command" topology check "$D/bad.yaml"
count=$(grep -cE "^$D/bad.yaml:[0-9]+:[0-9]+: [a-z]" "$D/out")
[ "$count" = 10 ] || fail "$count messages instead of 10: $(cat "$D/out")"
while read -r line key; do say "^$D/bad.yaml:$line:[0-9]+: $key"; done <<'E'
4 sites\.a\.at
6 nodes\.ctl\.role
7 nodes\.west\.site
7 nodes\.west\.journal
8 nodes\.east\.listen
8 nodes\.east\.jurnal
10 links\[0\]\.distance
11 links\[1\]\.between
13 streams\.s\.ack\.stage
15 volumes\.v\.size
E
code 78 "$command" up "$D/bad.yaml" --state "$S"
code 66 "$command" topology check "$D/none.yaml"
code 66 "$command" topology check "$D"
printf 'dipole: 1\nname: [\n' >"$D/syntax.yaml"
code 78 "$command" topology check "$D/syntax.yaml"
say "^$D/syntax.yaml:[0-9]+:[0-9]+: "
head -c 100000 /dev/urandom >"$D/random.yaml"
code 78 "$command" topology check "$D/random.yaml"
: >"$D/empty.yaml"
code 78 "$command" topology check "$D/empty.yaml"
code 64 "$command" topology chekc "$D/bad.yaml"

good=$EXAMPLES/bipolar-cascade.yaml
relay=$BUILD/relay/dipole-relay mirrord=$BUILD/mirrord/dipole-mirrord controller=$BUILD/controller/dipole-controller
code 78 "$relay" --topology "$D/bad.yaml" --node ctl --state "$D" --check-config
[ "$(grep -c "^$D/bad.yaml:" "$D/out")" = 10 ] || fail "a daemon does not tell all mistakes"
code 78 "$relay" --topology "$good" --node nobody --check-config
say '"nobody"'
code 78 "$relay" --topology "$good" --node west --check-config
code 78 "$mirrord" --topology "$good" --node relay-west --check-config
code 78 "$controller" --topology "$good" --node west --check-config
code 66 "$relay" --topology "$D/none.yaml" --node relay-west --state "$D"
code 64 "$relay" --topology "$good" --node relay-west

# With keys, as `up` leaves them.
up "$good"
stop_up
have=$S/topology.yaml
code 0 "$relay" --topology "$have" --node relay-west --check-config
code 0 "$mirrord" --topology "$have" --node west --check-config
code 0 "$controller" --topology "$have" --node nwk --check-config
chmod 644 "$S/relay-west/key"
code 78 "$relay" --topology "$have" --node relay-west --state "$S/relay-west"
say '0600'
chmod 600 "$S/relay-west/key"
cp "$S/west/key" "$S/relay-west/key"
code 78 "$relay" --topology "$have" --node relay-west --state "$S/relay-west"
say 'does not belong'
rm "$S/relay-west/key"
code 66 "$relay" --topology "$have" --node relay-west --state "$S/relay-west"
pass

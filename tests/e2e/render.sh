#!/bin/bash
# SPDX-License-Identifier: MIT
# `dipole render`: for each site what it runs and nothing else, the same bytes each time, no secret, nothing
# written for a wrong file.
source "$(dirname "$0")/lib.sh"

file=$EXAMPLES/bipolar-cascade.yaml
render() { bounded 20 dipole render "$@" >"$D/out" 2>"$D/err"; }
holds() { grep -qF -- "$2" "$D/$1" || fail "$1 does not say \"$2\": $(cat "$D/$1")"; }
lacks() { ! grep -qF -- "$2" "$D/$1" || fail "$1 says \"$2\""; }

for target in compose systemd kubernetes; do
  render "$file" --target $target --out "$D/$target" || fail "$target: $(cat "$D/err")"
  [ "$(ls "$D/$target" | tr '\n' ' ')" = 'hartford new-haven newark philadelphia princeton stamford ' ] || fail "$target: $(ls "$D/$target")"
  for site in "$D/$target"/*; do
    etc=$site
    [ $target != compose ] || etc=$site/etc
    cmp -s "$file" "$etc/topology.yaml" || fail "another topology in $site"
    [ -d "$site/secrets" ] && [ -z "$(ls -A "$site/secrets")" ] || fail "secrets of $site"
    [ "$(stat -c %a "$site/secrets")" = 700 ] || fail "others can read what will be in $site/secrets"
    [ "$(grep -cE '^[123]\. ' "$site/README.md")" = 3 ] || fail "not three steps: $(cat "$site/README.md")"
    grep -q '%' "$site/README.md" && fail "a hole in $site/README.md"
  done
  cp -r "$D/$target" "$D/before"
  render "$file" --target $target --out "$D/$target" || fail "$target again: $(cat "$D/err")"
  diff -r "$D/before" "$D/$target" >"$D/diff" || fail "the second time it differs: $(cat "$D/diff")"
  rm -r "$D/before"
done
holds compose/newark/compose.yaml 'dipole-controller, --topology, /etc/dipole/topology.yaml, --node, nwk,'
holds compose/newark/compose.yaml 'ipv4_address: "10.1.0.1"'
holds compose/newark/compose.yaml 'socket=/var/lib/dipole/nwk/host.sock'
holds compose/hartford/compose.yaml 'dipole-mirrord'
lacks compose/hartford/compose.yaml nbdkit
for other in nwk west relay-west relay-east; do
  lacks compose/hartford/compose.yaml $other
done
holds systemd/princeton/README.md 'systemctl enable --now dipole-relay@relay-west.service'
lacks systemd/princeton/README.md dipole-nbd
holds kubernetes/newark/manifest.yaml 'socket=/var/lib/dipole/nwk/host.sock'
lacks kubernetes/hartford/manifest.yaml nbdkit
holds kubernetes/hartford/manifest.yaml 'nodeSelector: {dipole/node-east: "true"}'

# A change somewhere else changes nothing here but the file.
sed 's/hartford:     {at: .*/&\n  nowhere:      {at: [0, 0]}/; s/  - {between: \[relay-east-2, east\]}/  - {between: [relay-east-2, east], distance: 30mi}/' "$file" >"$D/changed.yaml"
cp -r "$D/compose" "$D/before"
render "$D/changed.yaml" --target compose --out "$D/compose" || fail "changed: $(cat "$D/err")"
[ "$(diff -rq "$D/before" "$D/compose" | grep -vc topology.yaml)" = 0 ] || fail "$(diff -rq "$D/before" "$D/compose")"
[ ! -e "$D/compose/nowhere" ] || fail "a folder for a site that runs nothing"

# A controller that nothing connects to has the address of its control.
sed 's/  nwk: .*listen: [^,}]*/  nwk: {role: controller, site: newark, control: "tcp:\/\/10.1.0.9:7401"/' "$file" >"$D/control.yaml"
render "$D/control.yaml" --target compose --out "$D/control" || fail "control: $(cat "$D/err")"
holds control/newark/compose.yaml 'ipv4_address: "10.1.0.9"'
for out in "$D"/compose/*/compose.yaml "$D"/kubernetes/*/manifest.yaml; do
  /usr/bin/python3 -c 'import sys, yaml; list(yaml.safe_load_all(open(sys.argv[1])))' "$out" 2>"$D/err" ||
    fail "no YAML: $out: $(cat "$D/err")"
done

# Keys that are missing are said; with keys nothing is.
render "$file" --target compose --out "$D/compose"
[ "$(grep -c 'has no key in the file yet' "$D/err")" = 6 ] || fail "keys: $(cat "$D/err")"
cp "$file" "$D/keys.yaml"
for node in nwk relay-west west relay-east-1 relay-east-2 east; do
  key=$(dipole keygen $node --out "$D/keys" | tail -n 1)
  KEY=$key awk -v n="  $node:" 'index($0, n) == 1 { sub(/}/, ""); print $0 ", key: \"" ENVIRON["KEY"] "\"}"; next } { print }' "$D/keys.yaml" >"$D/k" && mv "$D/k" "$D/keys.yaml"
done
render "$D/keys.yaml" --target systemd --out "$D/keyed" || fail "keys: $(cat "$D/err")"
[ ! -s "$D/err" ] || fail "with keys: $(cat "$D/err")"
grep -rqF "$(cat "$D/keys/nwk/key")" "$D/keyed" && fail "a secret key is in what goes to the sites"

# Keys on this machine: those that fit, one that others can read, one that belongs to another, one that is gone.
keys() { bounded 20 dipole keys --state "$D/keys" "$@" >"$D/out" 2>"$D/err"; }
cp "$D/keys.yaml" "$D/keys/topology.yaml"
keys && [ "$(grep -c ' fits$' "$D/out")" = 6 ] || fail "keys that fit: $(cat "$D/out" "$D/err")"
chmod 644 "$D/keys/nwk/key"
cp "$D/keys/east/key" "$D/keys/west/key"
rm "$D/keys/east/key"
rm -r "$D/keys/relay-west"
keys
[ $? = 78 ] || fail "wrong keys are no error"
for line in '^nwk .*others can read it' '^west .*does not belong' '^east .*missing' '^relay-west .*not on this machine'; do
  grep -q "$line" "$D/out" || fail "keys, \"$line\": $(cat "$D/out")"
done
keys --json
jq -e '[.keys[] | select(.ok)] | length == 3' "$D/out" >/dev/null || fail "keys as JSON: $(cat "$D/out")"

# What is wrong is refused, and nothing is written.
sed 's/role: mirror/role: miror/' "$file" >"$D/wrong.yaml"
render "$D/wrong.yaml" --target compose --out "$D/wrong"
[ $? = 78 ] && [ ! -e "$D/wrong" ] || fail "a wrong file: $(cat "$D/err")"
grep -qE 'wrong.yaml:[0-9]+:[0-9]+: nodes' "$D/err" || fail "a wrong file: $(cat "$D/err")"
render "$file" --target nomad --out "$D/wrong"
[ $? = 64 ] && [ ! -e "$D/wrong" ] || fail "another target: $(cat "$D/err")"
render "$file" --target compose
[ $? = 64 ] || fail "without --out"
render "$file" --target compose --image 'a "b"' --out "$D/wrong"
[ $? = 64 ] || fail "an image with a quotation mark"
render "$D/none.yaml" --target compose --out "$D/wrong"
[ $? = 66 ] && [ ! -e "$D/wrong" ] || fail "no file: $(cat "$D/err")"
touch "$D/file"
render "$file" --target compose --out "$D/file"
[ $? = 73 ] || fail "a file in the way: $(cat "$D/err")"
pass

#!/bin/bash
# SPDX-License-Identifier: MIT
# rekey.sh [SEAL]: every node gets a new key under load, without an error for the host; then one key is taken from
# a node, which is out at once. With SEAL also what was sealed for the old keys is still opened.
. "$(dirname "$0")/lib.sh"
seal=${1:-none}

cat >"$D/t.yaml" <<Y
dipole: 1
name: rekey
sites:
  home: {at: [40.74, -74.17]}
  west: {at: [40.22, -74.76]}
  east: {at: [41.39, -73.45]}
nodes:
  ctl: {role: controller, site: home}
  rw: {role: relay, site: west, listen: tcp://127.0.0.1:7602, journal: 64MiB}
  mw: {role: mirror, site: west, listen: tcp://127.0.0.1:7600, journal: 64MiB}
  me: {role: mirror, site: east, listen: tcp://127.0.0.1:7601, journal: 64MiB}
links:
  - {between: [ctl, rw]}
  - {between: [rw, mw]}
  - {between: [ctl, me]}
heartbeat: {interval: 300ms, down-after: 1500ms, probation: 500ms}
streams:
  main:
    controller: ctl
    legs: {w: [rw, mw], e: [me]}
    when-leg-down: {keep-serving: 1}
    journal: {size: 64MiB}
    seal: $seal
volumes:
  data: {stream: main, size: 48MiB}
Y
up "$D/t.yaml"
N=$D/new.yaml
begin_load data
applied() { bounded 120 dipole apply "$N" --state "$S" "$@" >"$D/apply.out" 2>&1 || fail "apply: $(cat "$D/apply.out")"; }
all_in_sync() { is ctl '.links | all(.[]; .state == "Connected" and .in_sync)' && all_open; }
enough() {
  end_load
  pass
}
moves start

# ---- two keys of each node, then one ----

outages() { cat "$S"/*/log | grep -c " heartbeat peer=.* state=Down"; }
before=$(outages)
cp "$S/topology.yaml" "$N"
for n in ctl rw mw me; do
  old=$(cat "$S/$n/key.pub") new=$(bounded 20 dipole keys add "$n" --state "$S") || fail "keys add $n"
  [ "$(stat -c %a "$S/$n/key.next")" = 600 ] || fail "the next key of $n is not its own"
  bounded 20 dipole keys add "$n" --state "$S" >/dev/null 2>&1 && fail "a next key is overwritten"
  OLD=$old NEW=$new python3 - "$N" <<'P' || fail "the test cannot change the keys"
import os, sys
s = open(sys.argv[1]).read()
old, new = os.environ['OLD'], os.environ['NEW']
assert s.count(f'key: "{old}"') == 1
open(sys.argv[1], 'w').write(s.replace(f'key: "{old}"', f'key: "{new}"\n    former-key: "{old}"'))
P
done
applied
[ "$(grep -c 'turns to its next key' "$D/apply.out")" = 4 ] || fail "not all keys have turned: $(cat "$D/apply.out")"
for n in ctl rw mw me; do
  [ ! -e "$S/$n/key.next" ] && grep -qFe "$(cat "$S/$n/key.pub")" "$N" || fail "$n still has its old key"
done
wait_until 30 all_in_sync || fail "the links do not come back with new keys"
[ "$(outages)" = "$before" ] || fail "a link was down for longer than a heartbeat limit"
moves 'new keys'
bounded 20 dipole keys check --state "$S" >"$D/keys" || fail "keys check: $(cat "$D/keys")"
# What was sealed for the old keys, or by them, has left the journals.
is_applied() { is ctl '.released > '"$1"; }
last=$(field ctl .last)
wait_until 60 is_applied "$last" || fail "the journal keeps what is old"
sed -i '/former-key:/d' "$N"
applied
wait_until 30 all_in_sync || fail "the links do not come back with one key each"
moves 'former keys are gone'

# ---- a key is taken away: its holder runs on, and is out ----

dipole keygen mw --out "$D/other" >"$D/other.pub" || fail "keygen"
old=$(cat "$S/mw/key.pub") new=$(cat "$D/other.pub")
OLD=$old NEW=$new python3 -c 'import os, sys; s = open(sys.argv[1]).read(); open(sys.argv[2], "w").write(s.replace(os.environ["OLD"], os.environ["NEW"]))' "$S/topology.yaml" "$N"
bounded 60 dipole apply "$N" --state "$S" >"$D/apply.out" 2>&1
[ $? = 78 ] && grep -q 'does not belong' "$D/apply.out" || fail "a node takes a file with a key that is not its own: $(cat "$D/apply.out")"
pid=$(pid_of mw)
applied --without mw
is rw '.links[0].state != "Connected"' || fail "who has lost its key is still connected"
never_in 5 is rw '.links[0].state == "Connected"' || fail "who has lost its key is connected again"
is rw '.links[0].health.state != "Connected"' || fail "the heartbeats of a lost key are believed"
[ "$(pid_of mw)" = "$pid" ] || fail "the test has lost its mirror"
[ "$(outages)" -gt "$before" ] || fail "the log does not tell outages, or nobody noticed this one"
moves 'a key is taken away'
# Its rightful owner comes back; not to a sealed stream, before what was sealed for the old key is dropped (docs/security.md).
[ "$seal" = none ] || enough
cp "$D/other/mw/key" "$D/other/mw/key.pub" "$S/mw/"
kill "$pid"
wait_until 60 all_in_sync || fail "the owner of the new key is not let in"

end_load
same_everywhere 120
pass

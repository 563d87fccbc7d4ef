#!/bin/bash
# SPDX-License-Identifier: MIT
# Operators at another machine: who has which role may ask what, and nobody else anything; a topology is applied from
# there; a node that has lost its own gets it from another, and no other than the right one.
. "$(dirname "$0")/lib.sh"
W=$D/w # the other machine: a topology, a key
mkdir "$W"
read -ra ports <<<"$(python3 -c 'import socket
s = [socket.socket() for i in range(3)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])')"
for o in anna bert carl dora; do
  dipole keygen $o --out "$W" >/dev/null || fail "keygen $o"
  mv "$W/$o" "$D/key-$o"
done
{
  sed -E -e "/^  nwk:/s/role:/control: tcp:\/\/127.0.0.1:${ports[0]}, role:/" \
    -e "/^  west:/s/role:/control: tcp:\/\/127.0.0.1:${ports[1]}, role:/" \
    -e "/^  east:/s/role:/control: tcp:\/\/127.0.0.1:${ports[2]}, role:/" "$EXAMPLES/bipolar.yaml"
  printf 'operators:\n'
  printf '  anna: {key: "%s", role: observe}\n' "$(cat "$D/key-anna/key.pub")"
  printf '  bert: {key: "%s", role: operate}\n' "$(cat "$D/key-bert/key.pub")"
  printf '  carl: {key: "%s", role: administer}\n' "$(cat "$D/key-carl/key.pub")"
} >"$D/t.yaml"
grep -c 'control: tcp' "$D/t.yaml" | grep -qx 3 || fail "the test's topology has no control: $(cat "$D/t.yaml")"
up "$D/t.yaml"
cp "$S/topology.yaml" "$W/"

as() { # OPERATOR COMMAND...
  local who=$1
  shift
  DIPOLE_OPERATOR=$D/key-$who/key bounded 60 dipole "$@" --state "$W" >"$D/out" 2>&1
}
said() { grep -qF "$*" "$D/out" || fail "not said: $*: $(cat "$D/out")"; }

# ---- roles ----

as anna status || fail "who observes does not see the status: $(cat "$D/out")"
[ "$(grep -c ' Open ' "$D/out")" = 3 ] || fail "not all nodes answer: $(cat "$D/out")"
as anna status --site newark --json || fail "one site: $(cat "$D/out")"
jq -e '.nodes | length == 1 and .[0].node == "nwk"' "$D/out" >/dev/null || fail "one site: $(cat "$D/out")"
as anna status --site nowhere && fail "a site that is not there"
said "no site 'nowhere'"
as anna pause main west && fail "who observes pauses a leg"
said 'it takes the role operate, and you have observe'
as bert pause main west || fail "who operates cannot pause: $(cat "$D/out")"
as bert resume main west || fail "who operates cannot resume: $(cat "$D/out")"
wait_until 30 all_open || fail "the leg does not come back"
as bert digest disk || fail "who operates cannot compare: $(cat "$D/out")"
sed 's/high-water: 80%/high-water: 70%/' "$W/topology.yaml" >"$W/new.yaml"
as bert apply "$W/new.yaml" && fail "who operates changes the topology"
said 'it takes the role administer, and you have operate'
cmp -s "$S/topology.yaml" "$W/topology.yaml" || fail "what is not allowed was done"
as dora status && fail "a key that is in no topology is let in"
said 'no node of'
grep -q 'key-refused' "$S/nwk/log" || fail "the refusal is not in the log"
as carl apply "$W/new.yaml" || fail "who administers cannot apply: $(cat "$D/out")"
cmp "$S/topology.yaml" "$W/new.yaml" && cmp "$W/topology.yaml" "$W/new.yaml" || fail "the file is not everywhere"
DIPOLE_OPERATOR=$D/none bounded 20 dipole status --state "$W" >"$D/out" 2>&1 && fail "without a key"
as anna status --node nwk --json
digest=$(jq -r '.nodes[0].topology_digest' "$D/out")
[ "${#digest}" = 32 ] || fail "no digest of the topology: $(cat "$D/out")"

# ---- other versions say so ----

ask() { python3 - "$S/nwk/control.sock" "$1" <<'P'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b'\n')
print(s.makefile().readline())
P
}
ask '{"cmd": "status", "api": 99}' | grep -q 'answers version 1 of the control protocol, and was asked in version 99' || fail "a newer command is not told"
ask '{"cmd": "launch"}' | grep -q 'unknown command; this node is dipole ' || fail "an unknown command is not told the version"

# ---- a topology that was lost ----

fetch() { bounded 30 dipole fetch --from "tcp://127.0.0.1:${ports[0]}" --peer-key "$(cat "$S/nwk/key.pub")" "$@" >"$D/out" 2>&1; }
fetch --key "$S/east/key" --digest "$digest" --out "$D/fetched.yaml" || fail "fetch: $(cat "$D/out")"
cmp "$D/fetched.yaml" "$S/topology.yaml" || fail "what was fetched differs"
fetch --key "$S/east/key" --digest "$(tr '0-9a-f' 'f0-9a-e' <<<"$digest")" --out "$D/planted.yaml"
[ $? = 65 ] && [ ! -e "$D/planted.yaml" ] || fail "another topology than the one asked for is taken: $(cat "$D/out")"
fetch --key "$D/key-dora/key" --digest "$digest" --out "$D/planted.yaml" && fail "a stranger gets the topology"
mkdir "$D/node"
cp "$S/east/key" "$D/node/key"
DIPOLE_OPERATOR=$D/node/key bounded 20 dipole status --state "$W" >"$D/out" 2>&1 && fail "a node's key is as good as an operator's"

# ---- an operator who is none any more ----

sed '/^  anna:/d' "$W/new.yaml" >"$W/less.yaml"
as carl apply "$W/less.yaml" || fail "apply: $(cat "$D/out")"
wait_until 30 all_open || fail "the links do not come back"
as anna status && fail "who is no operator any more is let in"
same_everywhere
pass

#!/bin/bash
# SPDX-License-Identifier: MIT
# A controller whose key is not in the topology, and one that has the key of another node, are
# refused and logged; the real deployment goes on.
source "$(dirname "$0")/lib.sh"
up "$EXAMPLES/bipolar.yaml"
background fio_until_enough disk 8 --rate=4M
load=$!
wait_until 20 is nwk '.last > 20' || fail "no load"
epoch=$(field west .epoch)
refused() { timeout 10 "$BUILD/controller/cli/dipole" status --state "$S" --node "$1" --json | jq -e ".nodes[0] | .$2 > 0"; }

# intrude DIR FROM TO: a controller nwk, with FROM's text replaced by TO's in its topology file
intrude() {
  "$BUILD/controller/dipole-controller" --topology "$1/topology.yaml" --node nwk --state "$1/nwk" >"$1/log" 2>&1 &
  CHILDREN[$!]=1
  wait_until 30 grep -q ready "$1/log" || fail "the intruder does not start: $(cat "$1/log")"
}

mkdir "$D/stranger" "$D/insider"
dipole keygen nwk --out "$D/stranger" >/dev/null || fail keygen
python3 - "$S" "$D" <<'PY' || fail "topologies"
import sys
s, d = sys.argv[1:]
key = lambda path: open(path).read().strip()
text = open(s + "/topology.yaml").read()
nwk, east = key(s + "/nwk/key.pub"), key(s + "/east/key.pub")
assert nwk in text and east in text
open(d + "/stranger/topology.yaml", "w").write(text.replace(nwk, key(d + "/stranger/nwk/key.pub")))
open(d + "/insider/topology.yaml", "w").write(
    text.replace(nwk, "\0").replace(east, nwk).replace("\0", east))
PY
intrude "$D/stranger"
wait_until 20 grep -q key-refused "$S/west/log" || fail "west does not log the unknown key"
wait_until 20 grep -q key-refused "$S/east/log" || fail "east does not log the unknown key"
wait_until 10 refused west refused_keys || fail "status does not count refused keys"

# A key of the deployment, but not that of the node above.
mkdir -p "$D/insider/nwk"
cp "$S/east/key" "$D/insider/nwk/key"
intrude "$D/insider"
wait_until 20 refused west bad_messages || fail "west does not count what another node sends as the controller"
wait_until 10 grep -q bad-message "$S/west/log" || fail "west does not log what another node sends as the controller"

[ "$(field west .epoch)" = "$epoch" ] || fail "the epoch moved from $epoch to $(field west .epoch)"
wait_until 10 all_open || fail "the real deployment is disturbed"
last=$(field nwk .acked_requests)
wait_until 30 is nwk ".acked_requests > $last" || fail "the real load stands still"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere
[ "$(field west .epoch)" = "$epoch" ] || fail "the epoch moved from $epoch to $(field west .epoch)"
pass

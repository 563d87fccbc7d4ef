#!/bin/bash
# A node whose key is not in the topology is refused and logged; the real one goes on.
source "$(dirname "$0")/lib.sh"
up "$ROOT/deploy/examples/bipolar.yaml"
controller=$(basename "$(dirname "$D"/s/*/host.sock)")
mkdir "$D/intruder"
dipole keygen "$controller" --out "$D/intruder" >"$D/key" || fail "keygen"
real=$(cat "$D/s/$controller/key.pub")
python3 - "$D/s/topology.yaml" "$D/intruder/topology.yaml" "$real" "$(cat "$D/intruder/$controller/key.pub")" <<'PY'
import sys
open(sys.argv[2], "w").write(open(sys.argv[1]).read().replace(sys.argv[3], sys.argv[4]))
PY
"$BUILD/controller/dipole-controller" --topology "$D/intruder/topology.yaml" --node "$controller" \
  --state "$D/intruder/$controller" >"$D/intruder/log" 2>&1 &
CHILDREN+=($!)
wait_until 20 grep -q key-refused "$D"/s/*/log || fail "the unlisted key was not refused and logged"
timeout 30 qemu-io -f raw "$(uri disk)" -c 'write -P 1 0 1M' -c flush >/dev/null || fail "the real controller is held up"
same_everywhere disk "$controller"
pass

#!/bin/bash
# Random writes of 512 B to 1 MiB, trims and zeroes through NBD: no error, and every mirror holds
# what the host sees. usage: fio-verify.sh TOPOLOGY
source "$(dirname "$0")/lib.sh"
topology=${1:-bipolar}
NAME="$NAME $topology"
up "$ROOT/deploy/examples/$topology.yaml"
volume=data
[ "$topology" = bipolar ] && volume=disk
controller=$(dipole topology check "$ROOT/deploy/examples/$topology.yaml" >/dev/null && ls "$D"/s/*/host.sock | xargs dirname | xargs basename)
fio_verify "$volume" "${MIB:-48}" 120 || fail "fio: $(tail -n 5 "$D/fio.log")"
qemu-io -f raw "$(uri "$volume")" -c 'write -z 1M 3M' -c 'discard 8M 5M' -c 'write -P 7 16M 100k' -c flush \
  -c 'read -P 0 1M 3M' -c 'read -P 7 16M 100k' >"$D/qemu-io.log" 2>&1 || fail "qemu-io: $(cat "$D/qemu-io.log")"
grep -q "Pattern verification failed" "$D/qemu-io.log" && fail "qemu-io read back other bytes"
same_everywhere "$volume" "$controller"
pass

#!/bin/bash
# The usual tools work against the disk.
source "$(dirname "$0")/lib.sh"
up "$ROOT/deploy/examples/bipolar.yaml"
disk=$(uri disk)
[ "$(nbdinfo --size "$disk")" = $((1 << 30)) ] || fail "nbdinfo says $(nbdinfo --size "$disk")"
nbdinfo --list "$disk" | grep -q '"disk"' || fail "the export list lacks the volume"
head -c 9000001 /dev/urandom >"$D/file"
nbdcopy --flush "$D/file" "$disk" || fail "nbdcopy to the disk"
nbdcopy "$disk" "$D/back" || fail "nbdcopy from the disk"
cmp -n 9000001 "$D/file" "$D/back" || fail "nbdcopy brought back other bytes"
qemu-img convert -n -f raw -O raw "$D/back" "$disk" || fail "qemu-img convert"
qemu-img compare -f raw -F raw "$D/back" "$disk" >/dev/null || fail "qemu-img compare"
out=$(qemu-io -f raw "$disk" -c 'write -f -P 5 4k 64k' -c 'read -P 5 4k 64k' -c 'discard 0 1M' -c 'read -P 0 0 1M' -c flush 2>&1) || fail "qemu-io: $out"
echo "$out" | grep -q "verification failed" && fail "qemu-io: $out"
pass

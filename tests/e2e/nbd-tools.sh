#!/bin/bash
# SPDX-License-Identifier: MIT
# The usual NBD tools work against the disk.
source "$(dirname "$0")/lib.sh"
up "$EXAMPLES/local-mirror.yaml"
disk=$(uri data)
size=$((256 << 20))
[ "$(nbdinfo --size "$disk")" = "$size" ] || fail "nbdinfo --size: $(nbdinfo --size "$disk")"
nbdinfo --list "$disk" >"$D/list" || fail "nbdinfo --list"
for v in data log; do grep -q "\"$v\"" "$D/list" || fail "the list lacks $v: $(cat "$D/list")"; done
nbdinfo --json "$disk" | jq -e '.exports[0] | .can_flush and .can_fua and .can_trim and .can_zero and
  (.is_read_only | not)' >/dev/null || fail "nbdinfo lacks an ability: $(nbdinfo --json "$disk")"
nbdinfo "${disk/data/nothing}" >/dev/null 2>&1 && fail "a volume that does not exist is served"

head -c 9000001 /dev/urandom >"$D/file"
bounded 60 nbdcopy --flush "$D/file" "$disk" || fail "nbdcopy to the disk"
bounded 60 nbdcopy "$disk" "$D/back" || fail "nbdcopy from the disk"
cmp -n 9000001 "$D/file" "$D/back" || fail "nbdcopy brought back other bytes"

truncate -s "$size" "$D/raw"
dd if=/dev/urandom of="$D/raw" bs=1M count=5 seek=100 conv=notrunc status=none
bounded 60 qemu-img convert -n -f raw -O raw "$D/raw" "$disk" || fail "qemu-img convert to the disk"
bounded 60 qemu-img compare -f raw -F raw "$D/raw" "$disk" >"$D/out" || fail "compare: $(cat "$D/out")"
bounded 60 qemu-img convert -f raw -O qcow2 "$disk" "$D/copy.qcow2" || fail "qemu-img convert from the disk"
bounded 60 qemu-img compare -f qcow2 -F raw "$D/copy.qcow2" "$D/raw" >"$D/out" || fail "compare: $(cat "$D/out")"

qio data 'write -P 5 4k 64k' 'read -P 5 4k 64k' 'write -f -P 6 1000k 12k' 'read -P 6 1000k 12k' \
  'write -P 8 8M 2M' 'write -z 8500k 100k' 'read -P 0 8500k 100k' 'read -P 8 8M 308k' \
  'write -z -u -f 9M 4k' 'read -P 0 9M 4k' 'discard 9M 1M' 'read -P 0 9M 1M' flush \
  'write -P 11 512 512' 'read -P 11 512 512' 'read -P 0 0 512' 'aio_write -P 12 20M 1M' \
  'aio_write -P 13 22M 1M' aio_flush 'read -P 12 20M 1M' 'read -P 13 22M 1M' ||
  fail "qemu-io: $(cat "$D/qio.log")"
qio data 'read -P 12 20M 1M' 'write -P 14 268435455 1' || true # the last byte: qemu-io may refuse it
qio data "write -P 15 $((size - 512)) 512" "read -P 15 $((size - 512)) 512" ||
  fail "the last sector: $(cat "$D/qio.log")"
same_everywhere
pass

#!/bin/bash
# SPDX-License-Identifier: MIT
# The controller's read cache: what was read or written lately is served while no mirror answers, a
# write takes out what it changes, and with skip-unchanged a write of what is there is not sent.
source "$(dirname "$0")/lib.sh"

sed -E -e 's/^( +)ack: .*/&\n\1read-cache: 8MiB/' -e 's/(disk: *\{.*size: [0-9A-Za-z]+)/\1, skip-unchanged: true/' \
  "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
grep -q skip-unchanged "$D/t.yaml" || fail "the example has changed"
# (qemu-io writes with FUA, which is always mirrored.)
cache() { field nwk ".read_cache.$1"; }

up "$D/t.yaml"
qio disk 'write -P 7 0 4M' flush || fail "qemu-io: $(cat "$D/qio.log")"
wait_until 20 committed || fail "not committed"
hits=$(cache hits)
qio disk 'read -P 7 0 4M' || fail "what was written is not read back"
[ "$(cache hits)" -gt "$hits" ] || fail "a read of what was just written goes to a mirror"
qio disk 'write -P 8 1M 64k' 'read -P 8 1M 64k' 'read -P 7 960k 64k' 'discard 2M 64k' 'read -P 0 2M 64k' ||
  fail "an older content is read: $(cat "$D/qio.log")"

# No mirror answers.
qio disk 'read -P 7 0 1M' || fail "qemu-io"
for n in west east; do kill -STOP "$(pid_of $n)"; done
qio disk 'read -P 7 0 1M' || fail "a read from the cache needs a mirror"
for n in west east; do kill -CONT "$(pid_of $n)"; done

# Written again, unchanged and changed.
last=$(field nwk .last)
bounded 20 fio_load disk --rw=write --bs=64k --size=256k --buffer_pattern=0x07 || fail "fio: $(fio_said)"
[ "$(field nwk .last)" = "$last" ] && [ "$(field nwk .unchanged_writes)" -ge 1 ] ||
  fail "an unchanged write is mirrored: $(field nwk .unchanged_writes)"
qio disk 'write -P 9 0 256k' 'read -P 9 0 256k' || fail "qemu-io"
[ "$(field nwk .last)" -gt "$last" ] || fail "a changed write is not mirrored"

# Under a load that verifies itself and reads much of what it writes, larger than the cache.
bounded 60 fio_verify disk 24 --io_size=48M || fail "fio: $(fio_said)"
[ "$(field nwk .memory_bytes)" -lt 100000000 ] || fail "memory"
same_everywhere
pass

#!/bin/bash
# SPDX-License-Identifier: MIT
# Random writes of 512 B to 1 MiB, trims and zeroes through NBD: no error, and every mirror holds
# what the host sees. usage: fio-verify.sh [TOPOLOGY]; MIB=N (default 48)
source "$(dirname "$0")/lib.sh"
topology=${1:-bipolar}
NAME="$NAME $topology"
up "$EXAMPLES/$topology.yaml"
volume=$(volumes | head -n 1)
mib=${MIB:-48}
bounded 300 fio_verify "$volume" "$mib" || fail "fio: $(fio_said)"
bounded 60 fio_load "$volume" --rw=randtrim --bs=64k --iodepth=8 --size=16M --offset=1M ||
  fail "fio trims: $(fio_said)"
qio "$volume" 'read -P 0 1M 16M' || fail "what was trimmed is not zero: $(cat "$D/qio.log")"
bounded 60 fio_load "$volume" --rw=randtrimwrite --bs=32k --iodepth=8 --size=16M --offset=20M ||
  fail "fio trims and writes: $(fio_said)"
qio "$volume" 'write -P 9 0 4M' 'write -z 1M 1M' 'discard 2560k 512k' 'write -P 7 4095k 100k' flush \
  'read -P 9 0 1M' 'read -P 0 1M 1M' 'read -P 9 2M 512k' 'read -P 0 2560k 512k' 'read -P 9 3M 1023k' \
  'read -P 7 4095k 100k' || fail "qemu-io: $(cat "$D/qio.log")"
same_everywhere
pass

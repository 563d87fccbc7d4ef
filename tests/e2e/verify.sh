#!/bin/bash
# SPDX-License-Identifier: MIT
# dipole verify: no false alarm while writes go on; a byte that was changed behind a mirror's back is
# found, and among three copies the right one is named; a copy that gives no answer is missing.
source "$(dirname "$0")/lib.sh"

# verify STATUS VOLUME OPTIONS...: it ends with that exit status; its output is in $D/verify.
verify() {
  local want=$1 status=0
  shift
  bounded 60 dipole verify "$@" --state "$S" >"$D/verify" 2>&1 || status=$?
  [ "$status" = "$want" ] || fail "verify ended with $status, not $want: $(cat "$D/verify")"
}
said() { grep -qE "$1" "$D/verify" || fail "verify does not say '$1': $(cat "$D/verify")"; }
result() { jq -r --arg node "$1" '.copies[] | select(.node == $node) | .result' "$D/verify"; }
destaged() { for n in "$@"; do is "$n" '.applied == .last' || return 1; done; }
quiet() { wait_until 30 committed && wait_until 30 destaged "$@" || fail "$* have not applied everything"; }

# flip NODE VOLUME OFFSET: turns one bit of the node's image, or turns it back.
flip() {
  local image=$S/$1/image.$2 byte
  byte=$(od -An -tu1 -j "$3" -N 1 "$image") || fail "no byte $3 in $image"
  printf '%b' "\\x$(printf %x $((byte ^ 1)))" |
    dd of="$image" bs=1 seek="$3" conv=notrunc,fsync status=none || fail "cannot write $image"
}

up "$EXAMPLES/bipolar.yaml"
background fio_until_enough disk 32 --bsrange=512-64k --rate=16M
load=$!
wait_until 20 is nwk '.last > 200' || fail "no load"
for _ in 1 2 3 4 5; do
  before=$(field nwk .acked_requests)
  verify 0 disk --json
  jq -e '.result == "equal" and .equal == 2 and (.copies | length == 2 and .[0].seq == .[1].seq and
    .[0].digest == .[1].digest)' "$D/verify" >/dev/null || fail "under load: $(cat "$D/verify")"
  wait_until 30 is nwk ".acked_requests > $before + 20" || fail "there was no load meanwhile"
done
verify 0 disk
said '^NODE +SEQ +DIGEST +RESULT$'
said '^west +[0-9]+ +[0-9a-f]{32} +equal$'
said '^volume disk: equal: of 2 copies 2 equal, 0 differ, 0 missing$'
gone "$load" && fail "fio: $(fio_said)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"

quiet west east
flip east disk 1234567
verify 65 disk
said '^west .* differs$'
said '^east .* differs$'
said '^volume disk: differs: of 2 copies 0 equal, 2 differ, 0 missing; no majority'
bounded 60 dipole digest disk --state "$S" >"$D/digest" 2>&1 && fail "digest sees no difference"
flip east disk 1234567
verify 0 disk

# Both have to have a record before it is agreed, and only then the other applies it.
kill -STOP "$(pid_of east)"
verify 75 disk --json --timeout 6s
jq -e '.result == "missing" and .missing == 2 and ([.copies[].reason] | sort == ["behind", "not-reachable"])' \
  "$D/verify" >/dev/null || fail "with a stopped mirror: $(cat "$D/verify")"
kill -CONT "$(pid_of east)"
wait_until 60 all_open || fail "the leg does not come back"
verify 0 disk
stop_up
rm -rf "$S"

up "$EXAMPLES/local-mirror.yaml"
qio data 'write -P 7 0 1M' flush || fail "qemu-io: $(cat "$D/qio.log")"
quiet nwk west east
flip west data 4096
verify 65 data --json
[ "$(result nwk) $(result west) $(result east)" = "equal differs equal" ] ||
  fail "not west alone: $(cat "$D/verify")"
verify 0 log # of the same stream: the other volume is as it should be

# Repaired under load, from the controller's own image, and only what differs is sent.
alarmed() { field "$1" '.alarms[].text' | grep -q "$2"; }
rm -f "$D/enough" "$D/fio.pid"
background fio_until_enough log 16 --bsrange=512-64k --rate=4M
load=$!
wait_until 20 test -e "$D/fio.pid" || fail "no load"
verify 65 data --repair
said '^leg west is made equal to another copy'
wait_until 60 alarmed west "the resync is complete" || fail "no resync of west: $(field west .images)"
wait_until 30 is nwk 'all(.links[]; .in_sync)' || fail "the leg does not count again"
alarmed east "images are rebuilt" && fail "a copy that is right is resynced"
gone "$load" && fail "fio: $(fio_said)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
verify 0 data
verify 0 log

# Where nobody can tell which is wrong a person decides.
dipole resync orders nowhere --state "$S" >/dev/null 2>&1 && fail "a leg that is none"
dipole resync orders east --state "$S" | grep -q 'compared with another copy' || fail "no resync of east"
wait_until 60 alarmed east "the resync is complete" || fail "no resync of east: $(field east .images)"
verify 0 data
pass

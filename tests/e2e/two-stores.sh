#!/bin/bash
# SPDX-License-Identifier: MIT
# A mirror that keeps its images twice. One copy is lost, or its disk fails under load: the mirror goes
# on with the other, says so, and makes the lost one anew at its next start.
source "$(dirname "$0")/lib.sh"
source "$HERE/disk.sh"
needs_file_systems

mkdir "$D/second"
sed -E -e "s|^( +west: .*)journal: [^}]*\\}|\\1journal: 64MiB, second-store: $D/second}|" -e 's/size: 1GiB\}$/size: 64MiB}/' \
  -e 's/^( +)ack: .*/&\n\1when-leg-down: {keep-serving: 1}/' \
  -e '/^links:/i heartbeat: {interval: 100ms, down-after: 1s, probation: 200ms}' \
  "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
grep -q second-store "$D/t.yaml" || fail "the example has changed"
stores() { dipole status --state "$S" --node west --json | jq -r '.nodes[0].stores'; }
stores_are() { [ "$(stores)" = "$1" ]; }
said() { grep -q "$1" "$S/west/log"; }
same_copies() { cmp "$S/west/image.disk" "$D/second/image.disk" || fail "the two copies differ"; }
restart_west() {
  local old
  old=$(pid_of west)
  kill "$old"
  wait_until 30 gone "$old"
  wait_until 60 all_open || fail "west does not come back: $(tail -n 5 "$S/west/log")"
}

up "$D/t.yaml"
stores_are Two || fail "stores: $(stores)"
bounded 60 fio_verify disk 24 || fail "fio: $(fio_said)"
same_everywhere
stop_up
same_copies

# Either copy is lost.
for lost in "$D/second/image.disk" "$S/west/image.disk"; do
  rm "$lost"
  up "$D/t.yaml"
  stores_are Two || fail "after the loss of $lost: $(stores)"
  said "made anew from the other" || fail "nothing is said of it"
  same_everywhere
  stop_up
  same_copies
done
# Both are: what is in no journal any more is not made up.
mkdir "$D/kept"
mv "$S/west/image.disk" "$D/kept/a"
mv "$D/second/image.disk" "$D/kept/b"
"$BUILD/mirrord/dipole-mirrord" --topology "$S/topology.yaml" --node west --state "$S/west" >"$D/none.log" 2>&1 &&
  fail "a mirror without its image starts"
grep -q "an image is missing" "$D/none.log" || fail "it says: $(cat "$D/none.log")"
mv "$D/kept/a" "$S/west/image.disk"

# The second one's disk fails under load.
FILE[second]=$D/bad
: >"$D/bad"
nbdfuse "$D/bad" [ nbdkit --exit-with-parent --filter=error file "$D/kept/b" error-pwrite=EIO \
  error-pwrite-rate=100% error-file="$D/fails" ] 2>>"$D/nbdfuse.log" &
FUSE[second]=$!
disown
wait_until 20 test -s "$D/bad" || fail "no disk for the second copy"
ln -s "$D/bad" "$D/second/image.disk"
up "$D/t.yaml"
stores_are Two || fail "stores: $(stores)"
background fio_until_enough disk 16 --rate=8M
load=$!
wait_until 20 is nwk '.last > 100' || fail "no load"
touch "$D/fails"
wait_until 40 stores_are Single || fail "a failing disk is not noticed"
said "goes on alone" || fail "nothing is said of it"
before=$(field west .applied)
wait_until 20 is west ".applied > $before" || fail "the mirror stands still"
gone "$load" && fail "fio: $(fio_said)"
restart_west # the failing disk is not used again: the copy is made anew in its place
stores_are Two || fail "after the restart: $(stores)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere
stop_up
[ -L "$D/second/image.disk" ] && fail "the copy is still on the failing disk"
same_copies
pass

#!/bin/bash
# SPDX-License-Identifier: MIT
# What journals no longer reach is copied from another mirror: a mirror that lost its disk under
# load, and one that was away until the journal overflowed (when-full: track) while the host went
# on. The old image stays whole to fall back on; a kill in mid-copy costs little; only what differs
# goes over the link; the host never sees an error.
source "$(dirname "$0")/lib.sh"

sed -E -e 's/256MiB\}/32MiB}/' -e 's/size: 1GiB/size: 256MiB/' \
  -e 's/^( +journal:).*/\1 {size: 32MiB, when-full: track, high-water: 50%}\n    when-leg-down: {keep-serving: 1}/' \
  -e '/^links:/i heartbeat: {interval: 100ms, down-after: 500ms, probation: 200ms}' \
  -e '/^  disk: /a \  extra: {stream: main, size: 1MiB}' \
  "$EXAMPLES/bipolar.yaml" >"$D/resync.yaml"

alarmed() { field "$1" '.alarms[].text' | grep -q "$2"; }
counts() { field nwk ".links[] | select(.leg == \"$1\") | .in_sync"; }
is_in() { [ "$(counts "$1")" = true ]; }
is_out() { [ "$(counts "$1")" = false ]; }
resyncing() { is "$1" '.images.state == "Resyncing"'; }
whole() { is "$1" '.images.state == "UpToDate"'; }
copied() { field "$1" '.images.resync.copied_bytes'; }
digest_of() { dipole digest --file "$1" --json | jq -r .digest; }

# 1. A mirror loses its disk under load.
up "$D/resync.yaml"
bounded 60 fio_load disk --rw=write --bs=1M --iodepth=4 --size=96M || fail "fill: $(fio_said)"
background fio_until_enough disk 32 --rate=6M
load=$!
wait_until 20 test -e "$D/fio.pid" || fail "no load"
p=$(pid_of east)
kill -STOP "$p"
find "$S/east" -mindepth 1 ! -name key -delete
kill -KILL "$p"
wait_until 30 alarmed east "it is resynced" || fail "the lost disk is not resynced"
wait_until 60 whole east || fail "the resync does not end: $(field east .images)"
wait_until 30 is_in east || fail "the leg does not count again"
gone "$load" && fail "fio: $(fio_said)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere
[ -e "$S/east/image.disk.1" ] && [ ! -e "$S/east/image.disk" ] || fail "images: $(ls "$S/east")"

# 2. A mirror is away until the journal overflows; the host goes on.
bounded 60 nbdcopy "$(uri disk)" "$D/before" || fail "the host cannot read"
before=$(digest_of "$D/before")
rm "$D/before"
wait_until 30 is west '.applied == .last' || fail "west does not apply"
kill -STOP "$(pid_of west)"
wait_until 10 is_out west || fail "a silent leg goes on counting"
bounded 60 fio_load disk --rw=randwrite --bs=64k --iodepth=8 --size=96M --io_size=80M || fail "writes: $(fio_said)"
alarmed nwk "high-water" || fail "no alarm of the high-water mark"
alarmed nwk "the journal is full" || fail "no alarm of the full journal: $(field nwk .alarms)"
sed -i 's/ack: {/resync-rate: 16MiB\n    ack: {/' "$S/topology.yaml" # from its next start
kill -KILL "$(pid_of west)"
wait_until 20 resyncing west || fail "west is not resynced: $(field west .)"
# Every 16 MiB the copy is made durable, so a kill costs less than half of this.
wait_until 30 is west '.images.resync.copied_bytes > 48000000' || fail "no progress: $(field west .images)"
resync_rate 2MiB west
dipole status --state "$S" | grep -q '^resync: west main: .*fetched, .*s left' || fail "status: $(dipole status --state "$S")"
is_out west || fail "a leg counts that is not whole"
# How far it is, is counted over the volumes in their order.
changed() { # SED WHAT
  sed "$1" "$S/topology.yaml" >"$D/changed.yaml"
  bounded 20 dipole apply "$D/changed.yaml" --state "$S" --dry-run >"$D/apply" 2>&1
  [ $? = 78 ] && grep -q 'west: volumes of stream main cannot change while images are being resynced' "$D/apply" ||
    fail "$2 while images are being resynced: $(cat "$D/apply")"
}
changed '/^  disk: /{h;d};/^  extra: /{p;x}' "volumes change places"
changed '/^  extra: /d' "a volume goes"
[ "$(digest_of "$S/west/image.disk")" = "$before" ] || fail "the image to fall back on has changed"
had=$(copied west)
kill -KILL "$(pid_of west)"
wait_until 20 resyncing west || fail "west does not go on"
again=$(copied west)
[ "$again" -ge $((had / 2)) ] && [ "$again" -gt 0 ] || fail "it begins anew: $again after $had"
[ "$(digest_of "$S/west/image.disk")" = "$before" ] || fail "the image to fall back on has changed"
fetched=0
wait_until 60 is west '.images.resync.fetched_bytes > 1000000' || fail "nothing is fetched: $(field west .images)"
resync_rate 32MiB west
limit=$(($(now_ms) + 60000))
until whole west; do
  [ "$(now_ms)" -lt "$limit" ] || fail "the resync does not end: $(field west .images)"
  now=$(field west '.images.resync.fetched_bytes // 0') && [ "$now" -gt "$fetched" ] && fetched=$now
  sleep 0.1
done
[ "$fetched" -lt 90000000 ] || fail "fetched $fetched bytes where 80 MiB differ"
wait_until 30 is_in west || fail "the leg does not count again"
same_everywhere
[ -e "$S/west/image.disk.1" ] && [ ! -e "$S/west/image.disk" ] || fail "images: $(ls "$S/west")"
pass

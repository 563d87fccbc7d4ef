#!/bin/bash
# SPDX-License-Identifier: MIT
# dipole apply under load: a relay comes into a leg, a third leg and a volume come, a volume doubles, policies
# change, a relay and a leg go. The host sees no error, and in the end all copies are the same.
. "$(dirname "$0")/lib.sh"

cat >"$D/t.yaml" <<'Y'
dipole: 1
name: change
sites:
  home: {at: [40.74, -74.17]}
  west: {at: [40.22, -74.76]}
  east: {at: [41.39, -73.45]}
  south: {at: [39.95, -75.16]}
nodes:
  ctl: {role: controller, site: home}
  mw: {role: mirror, site: west, listen: tcp://127.0.0.1:7600, journal: 64MiB}
  me: {role: mirror, site: east, listen: tcp://127.0.0.1:7601, journal: 64MiB}
links:
  - {between: [ctl, mw]}
  - {between: [ctl, me]}
heartbeat: {interval: 200ms, down-after: 1s, probation: 500ms}
streams:
  main:
    controller: ctl
    legs: {w: [mw], e: [me]}
    journal: {size: 64MiB}
volumes:
  data: {stream: main, size: 48MiB}
Y
up "$D/t.yaml"
N=$D/new.yaml

apply() { bounded 120 dipole apply "$N" --state "$S" "$@" >"$D/apply.out" 2>&1; }
applied() { apply || fail "apply: $(cat "$D/apply.out")"; }
# edit PYTHON: changes the text `s` of the topology that runs into $N.
edit() {
  python3 - "$S/topology.yaml" "$N" "$1" <<'P' || fail "the test cannot change the topology"
import sys
s = open(sys.argv[1]).read()
before = s
exec(sys.argv[3])
assert s != before, 'nothing has changed'
open(sys.argv[2], 'w').write(s)
P
}
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# node NAME ROLE SITE: a line for a new node, with its key.
node() {
  dipole keygen "$1" --out "$S" >"$D/keygen.out" || fail "keygen $1"
  printf '  %s: {role: %s, site: %s, listen: "tcp://127.0.0.1:%s", journal: 64MiB, key: "%s"}\\n' "$1" "$2" "$3" "$(port)" \
    "$(cat "$S/$1/key.pub")"
}

# ---- the load ----

begin_load data
moves start

# ---- what is refused changes nothing ----

before=$(md5sum <"$S/topology.yaml") runs=$(pids)
refused() { # WHAT STATUS EDIT
  edit "$3"
  apply
  local status=$?
  [ "$status" = "$2" ] || fail "status $status for: $1: $(cat "$D/apply.out")"
  grep -qF "$1" "$D/apply.out" || fail "not said: $1: $(cat "$D/apply.out")"
  [ "$(md5sum <"$S/topology.yaml")" = "$before" ] || fail "the file was changed by: $1"
}
refused 'a volume cannot become smaller' 78 's = s.replace("size: 48MiB", "size: 24MiB")'
refused 'this is the file of another deployment' 78 's = s.replace("name: change", "name: other")'
refused 'one leg at least has to stay' 78 's = s.replace("w: [mw]", "x: [mw]").replace("e: [me]", "y: [me]")'
refused 'the size of a journal cannot be changed' 78 's = s.replace("size: 64MiB, high", "size: 128MiB, high")'
refused 'expected' 78 's = s.replace("size: 48MiB", "size: 48MiX")'
refused 'there is no key for node' 78 's = s.replace("links:\n", "links:\n  - {between: [ctl, r9]}\n  - {between: [r9, mw]}\n").replace("nodes:\n", "nodes:\n  r9: {role: relay, site: west, listen: \"tcp://127.0.0.1:9\"}\n").replace("w: [mw]", "w: [r9, mw]")'
[ "$(pids)" = "$runs" ] || fail "a node was restarted by a file that is refused"
bounded 20 dipole apply "$D/none.yaml" --state "$S" >"$D/apply.out" 2>&1
[ $? = 66 ] || fail "no file: $(cat "$D/apply.out")"

# ---- what would be done is said, and not done ----

edit 's = s.replace("size: 48MiB", "size: 96MiB")'
apply --dry-run || fail "dry run: $(cat "$D/apply.out")"
grep -q 'volume data: 100663296 bytes instead of 50331648' "$D/apply.out" || fail "dry run: $(cat "$D/apply.out")"
grep -q 'mw begins anew' "$D/apply.out" || fail "dry run: $(cat "$D/apply.out")"
[ "$(md5sum <"$S/topology.yaml")" = "$before" ] || fail "a dry run changes the file"

# ---- a volume doubles ----

applied
[ "$(stat -c %s "$S/mw/image.data")" = 100663296 ] || fail "the image has not grown"
moves 'a volume doubles'
[ "$(bounded 20 nbdinfo --size "$(uri data)")" = 100663296 ] || fail "the host does not see the new size"
applied # once more changes nothing
grep -q 'the topology is the same' "$D/apply.out" || fail "not idempotent: $(cat "$D/apply.out")"

# ---- a file that nodes cannot replace ----

if unshare --mount true 2>"$D/none"; then # as in a container: it is a mount of its own
  mount --bind "$S/topology.yaml" "$S/topology.yaml" || fail "no bind mount"
  edit 's = s.replace("high-water: 80%", "high-water: 70%")'
  apply
  [ $? = 78 ] && grep -q 'cannot be replaced: Device or resource busy; put the new file there' "$D/apply.out" ||
    fail "a file that cannot be replaced: $(cat "$D/apply.out")"
  cat "$N" >"$S/topology.yaml" # by other means
  applied
  grep -q 'stream main: limits' "$D/apply.out" || fail "what changes is not said: $(cat "$D/apply.out")"
  applied
  grep -q 'the topology is the same' "$D/apply.out" || fail "not taken over: $(cat "$D/apply.out")"
  umount "$S/topology.yaml"
else
  echo "left out: a file that nodes cannot replace; no mounts can be made here"
fi

# ---- a relay ----

r=$(node rw relay west)
edit "s = s.replace('nodes:\n', 'nodes:\n$r').replace('w: [mw]', 'w: [rw, mw]').replace('links:\n', 'links:\n  - {between: [ctl, rw]}\n  - {between: [rw, mw]}\n')"
applied
wait_until 30 is ctl '.links | any(.peer == "rw" and .state == "Connected" and .in_sync)' || fail "the relay does not take part"
moves 'a relay comes'

# ---- a third leg ----

r=$(node ms mirror south)
edit "s = s.replace('nodes:\n', 'nodes:\n$r').replace('e: [me]', 'e: [me]\n      s: [ms]').replace('links:\n', 'links:\n  - {between: [ctl, ms]}\n').replace('legs: 2', 'legs: all').replace('keep-serving: 2', 'keep-serving: 3')"
applied
moves 'a leg comes' # before it is filled or after: all need not count
wait_until 60 is ctl '.links | length == 3 and all(.[]; .state == "Connected" and .in_sync)' || fail "the new leg does not count"
is ms '.images.state == "UpToDate"' || fail "the new leg is not up to date"
moves 'a leg counts'

# ---- a volume in the stream, and another stream ----

edit 's = s + "  log: {stream: main, size: 16MiB}\n"'
applied
moves 'a volume comes'
bounded 60 nbdcopy <(head -c 16M /dev/urandom) "nbd+unix:///log?socket=$S/ctl/nbd.sock" || fail "the new volume is not to be written"
edit 's = s.replace("volumes:\n", "  other: {controller: ctl, legs: {w: [mw], e: [me]}, journal: {size: 16MiB}}\nvolumes:\n") + "  third: {stream: other, size: 8MiB}\n"'
applied
moves 'a stream comes'
bounded 60 nbdcopy <(head -c 8M /dev/urandom) "nbd+unix:///third?socket=$S/ctl/nbd.sock" || fail "the new stream is not to be written"

# ---- policies ----

edit 's = s.replace("ack: {stage: cached, legs: 3}", "ack: {stage: committed, legs: 2}").replace("keep-serving: 3", "keep-serving: 2")'
applied
moves 'another policy'

# ---- what comes may go ----

edit 's = s.replace("w: [rw, mw]", "w: [mw]"); import re; s = re.sub(r"  rw:.*\n", "", s); s = re.sub(r"  - {between: .*rw.*\n", "", s)'
applied
wait_until 30 is ctl '.links | any(.peer == "mw" and .state == "Connected" and .in_sync)' || fail "the relay is not taken out"
wait_until 30 gone "$(pid_of rw 2>/dev/null || echo 999999999)" || fail "the relay runs on"
moves 'a relay goes'
edit 's = s.replace("      s: [ms]\n", "").replace("keep-serving: 3", "keep-serving: 2"); import re; s = re.sub(r"  ms:.*\n", "", s); s = re.sub(r"  - {between: .*ms.*\n", "", s); s = re.sub(r"  log:.*\n", "", s); s = re.sub(r"  other:\n(    .*\n)+", "", s); s = re.sub(r"  other:.*\n", "", s); s = re.sub(r"  third:.*\n", "", s)'
wait_until 60 apply || fail "a leg and volumes do not go: $(cat "$D/apply.out")"
[ "$(field ctl '.links | length')" = 2 ] || fail "the leg has not gone"
ls "$S"/mw/gone.*.image.log "$S"/mw/gone.*.journal.other "$S"/mw/gone.*.image.third >/dev/null || fail "not set aside: $(ls "$S/mw")"
moves 'a leg goes'
# One of that name comes again only when nobody can take what was set aside for it.
edit 's = s + "  log: {stream: main, size: 16MiB}\n"'
apply && fail "a volume comes as zeros where another of its name was set aside"
grep -q 'was set aside as gone' "$D/apply.out" || fail "no reason: $(cat "$D/apply.out")"
rm -f "$S"/m?/gone.*.image.log
applied
edit 'import re; s = re.sub(r"  log:.*\n", "", s)'
wait_until 60 apply || fail "the volume does not go again: $(cat "$D/apply.out")"

# ---- a file that does not fit, at a start ----

end_load
same_everywhere 120
stop_up
sed -i 's/size: 96MiB/size: 48MiB/' "$S/topology.yaml"
"$BUILD/mirrord/dipole-mirrord" --topology "$S/topology.yaml" --node mw --state "$S/mw" >"$D/out" 2>&1
[ $? = 78 ] && grep -q 'a volume cannot become smaller' "$D/out" || fail "a mirror starts with a smaller volume: $(cat "$D/out")"
pass

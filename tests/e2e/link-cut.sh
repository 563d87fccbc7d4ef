#!/bin/bash
# SPDX-License-Identifier: MIT
# A bad network between the controller and its mirrors (proxy.py): cut for long, hanging, dead in one
# direction, cut within a frame, and very slow. Hosts go on; whatever happened, everything arrives
# with nobody's help. ROUNDS=N (default 10) cuts within a frame, SEED=N
source "$(dirname "$0")/lib.sh"
ASAN_OPTIONS+=:quarantine_size_mb=16 # what is freed but kept back must not pass for memory in use
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
NAME="$NAME seed $SEED"
SECONDS=0

networks west east

# ---- what is looked at ----

link() { field nwk ".links[] | select(.leg == \"$1\") | $2"; }
link_is() { [ "$(link "$1" "$2")" = true ]; }
counts() { link_is "$1" '.state == "Connected" and .in_sync'; }
topology() { # ACK-LEGS
  sed -E -e "s/^links:/heartbeat: {interval: 100ms, down-after: 500ms, probation: 300ms}\nlinks:/" \
    -e "s/^( *)ack: .*/\1ack: {stage: cached, legs: $1}\n\1when-leg-down: {keep-serving: 1}/" \
    -e 's/size: 1GiB/size: 64MiB/' "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
  up "$D/t.yaml"
}
said() { echo "$SECONDS s: $*"; }

host_goes_on() { # WHEN
  local before
  gone "$load" && fail "$1: fio: $(fio_said)"
  before=$(field nwk .acked_requests)
  wait_until 20 is nwk ".acked_requests > $before + 20" || fail "$1: writes wait"
}

# The link of west is made bad; it is noticed, and the host goes on.
west_goes() { # COMMAND
  network west "$1"
  wait_until 10 link_is west '.state == "Down" and (.in_sync | not)' || fail "$1 is not noticed: $(link west .)"
  host_goes_on "$1"
}
west_returns() { # FROM
  network west pass
  wait_until 30 counts west || fail "after $1 west does not come back: $(link west .)"
  said "$1 is over, west counts again"
}

# ---- with a load that verifies itself ----

topology all
before=$(pids)
background fio_until_enough disk 8 --bsrange=512-64k --rate=4M
load=$!
wait_until 20 is nwk '.last > 100' || fail "no load"

west_goes cut
held=$(field west .last)
for _ in 1 2; do
  sleep 2.5
  host_goes_on cut
done
[ "$(field west .last)" = "$held" ] || fail "west got something though its link is cut"
counts east || fail "the other leg does not count: $(link east .)"
west_returns cut
[ "$(field west .last)" -gt "$held" ] || fail "west has got nothing"

for harm in hang drop-down drop-up; do
  west_goes "$harm"
  west_returns "$harm"
done

midcuts() { cat "$D"/*.net | grep -c midcut; }
has_cut() { [ "$(midcuts)" -ge "$1" ]; }
network west delay 20
network east delay 20 # more is under way at a cut
for ((round = 1; round <= ${ROUNDS:-10}; round++)); do
  leg=$([ $((RANDOM % 2)) = 0 ] && echo west || echo east)
  network "$leg" midcut
  wait_until 20 has_cut "$round" || fail "round $round: nothing passes on the way to $leg"
  sleep "0.$((RANDOM % 60 + 10))"
done
network west pass
network east pass
said "$(midcuts) connections cut within a frame"
host_goes_on midcut
for leg in west east; do
  cached=$(link "$leg" .cached)
  wait_until 20 link_is "$leg" ".cached > $cached" || fail "the session of $leg does not go on: $(link "$leg" .)"
  wait_until 20 counts "$leg" || fail "after the cuts $leg does not come back: $(link "$leg" .)"
done

gone "$load" && fail "fio: $(fio_said)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere
for node in nwk west east; do
  timeout 10 "$BUILD/controller/cli/dipole" status --state "$S" --node "$node" --json |
    jq -e '.nodes[0].bad_messages == 0' >/dev/null || fail "half a frame was taken for a message at $node"
done
is west '.images.generation == 0' && is east '.images.generation == 0' || fail "resynced, though all was kept"
[ "$(pids)" = "$before" ] || fail "something was restarted"
said "all copies are equal"
stop_up
[ "$UP_STATUS" = 0 ] || fail "it does not stop in good order: $UP_STATUS"
rm -rf "$S"

# ---- a leg that is very slow, and not needed ----

rate() { # SECONDS: answered requests a second
  local from acked
  from=$(now_ms) acked=$(field nwk .acked_requests)
  sleep "$1"
  echo $((($(field nwk .acked_requests) - acked) * 1000 / ($(now_ms) - from)))
}

topology 1
background fio_load disk --rw=randwrite --bsrange=4k-32k --blockalign=4k --iodepth=16 --size=64M \
  --rate=10M --time_based --runtime=120 --trigger-file="$D/measured" # which ends it
load=$!
wait_until 20 is nwk '.last > 100' || fail "no load"
fast=$(rate 2)
network west throttle 16384
sleep 1
slow=$(rate 3)
kib=$(awk '/^VmRSS/ {print $2}' "/proc/$(pid_of nwk)/status")
behind=$(($(field nwk .last) - $(link west .cached)))
gone "$load" && fail "fio: $(fio_said)"
touch "$D/measured"
said "$fast requests/s, $slow with a slow leg $behind records behind; the controller has $kib KiB"
[ "$behind" -gt 200 ] || fail "the slow leg is not slow"
[ $((slow * 3)) -gt "$fast" ] || fail "a slow leg that is not needed slows the host down"
[ "$kib" -lt "$(limit_kib $((300 << 10)))" ] || fail "the controller grew to $kib KiB"
link_is west '.state == "Connected"' || fail "a slow leg passes for a dead one: $(link west .)"
network west pass
await 60 "$load" || fail "fio: $(fio_said)"
wait_until 30 counts west || fail "the slow leg does not come back: $(link west .)"
same_everywhere

# ---- the longest records, each of which takes 8 s on a slow link ----

network west throttle 131072
background fio_load disk --rw=write --bs=1M --iodepth=4 --size=16M
load=$!
wait_until 20 link_is west '.sent >= .cached + 4' || fail "no load"
cached=$(link west .cached)
wait_until 90 link_is west ".cached >= $cached + 2" || fail "no long record gets through a slow link: $(link west .)"
link_is west '.state == "Connected"' || fail "a slow leg passes for a dead one: $(link west .)"
network west pass
await 60 "$load" || fail "fio: $(fio_said)"
wait_until 30 counts west || fail "the slow leg does not come back: $(link west .)"
same_everywhere
pass

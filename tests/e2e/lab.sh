#!/bin/bash
# SPDX-License-Identifier: MIT
# The lab: a topology with its distances, in network namespaces. Writes take what the distance costs; a
# cable is cut, healed, made lossy and slow; nothing is lost; it leaves nothing behind.
source "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] && unshare --net true 2>/dev/null || skip "no root, or no TUN devices"

link() { field nwk ".links[] | select(.leg == \"$1\") | $2"; }
link_is() { [ "$(link "$1" "$2")" = true ]; }
lab() { bounded 20 dipole lab "$@" --state "$S" >"$D/out" 2>"$D/err"; }
cable() { dipole lab links --state "$S" --json | jq -r ".[] | select(.from == \"$1\" and .to == \"$2\") | $3"; }
refuse() { # EXIT-CODE WORDS ARGUMENTS...
  local want=$1 words=$2
  shift 2
  lab "$@"
  [ $? = "$want" ] || fail "lab $*: not exit code $want: $(cat "$D/err")"
  grep -q -- "$words" "$D/err" || fail "lab $*: no word of $words: $(cat "$D/err")"
}

# 1,000 miles to each pole: 5 ms one way.
sed -E -e 's/^  - \{between: (\[[a-z, ]*\]).*/  - {between: \1, distance: 1000mi}/' \
  -e 's/^( *)flush: .*/\1flush: cached\n\1when-leg-down: {keep-serving: 1}/' \
  -e '/^links:/i heartbeat: {interval: 100ms, down-after: 600ms, probation: 500ms}' \
  "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
refuse 69 'no lab runs' cut trenton newark
HOW='lab up' up "$D/t.yaml"
west=$(sed -nE 's/^  west: .*site: ([a-z-]*).*/\1/p' "$D/t.yaml")
home=$(sed -nE 's/^  nwk: .*site: ([a-z-]*).*/\1/p' "$D/t.yaml")
[ "$(cable "$home" "$west" .delay_us)" = 5000 ] || fail "not 5 ms: $(cable "$home" "$west" .)"

(fio_load disk --rw=randwrite --bs=4k --iodepth=1 --size=1M --io_size=200k --output-format=json) || fail "$(fio_said)"
least=$(sed -n '/^{/,$p' "$D/fio.log" | jq '.jobs[0].write.clat_ns.min / 1000 | floor')
[ "$least" -ge 10000 ] || fail "a write takes $least us: no distance"
[ "$least" -le 20000 ] || fail "the quickest write takes $least us for a round trip of 10,000"
bounded 20 dipole budget --measured --state "$S" >"$D/measured" || fail "no budget"
grep -q 'write answered  *101' "$D/measured" || fail "another prediction: $(cat "$D/measured")"

background fio_until_enough disk 16 --bsrange=512-64k --rate=2M
load=$!
wait_until 20 is nwk '.acked_requests > 100' || fail "no load"
lab cut nwk west || fail "$(cat "$D/err")"
wait_until 10 link_is west '.state == "Down"' || fail "the cut is not noticed: $(link west .)"
before=$(field nwk .acked_requests)
wait_until 20 is nwk ".acked_requests > $before + 50" || fail "writes wait for a leg that need not count"
[ "$(cable "$home" "$west" '.cut and .lost > 0')" = true ] || fail "not cut: $(cable "$home" "$west" .)"
lab heal || fail "$(cat "$D/err")"
wait_until 20 link_is west .in_sync || fail "west does not catch up: $(link west .)"

# What is lost on the way is sent again by TCP; the connection goes on.
lab slow "$home" "$west" --loss 3% --bandwidth 50Mbit || fail "$(cat "$D/err")"
lost=$(cable "$home" "$west" .lost)
before=$(field nwk .acked_requests)
wait_until 30 is nwk ".acked_requests > $before + 200" || fail "writes do not go on"
[ "$(cable "$home" "$west" ".lost > $lost and .bandwidth_bits == 50e6 and .loss == 0.03")" = true ] ||
  fail "nothing is lost: $(cable "$home" "$west" .)"
lab heal "$west" "$home" || fail "$(cat "$D/err")"
[ "$(cable "$home" "$west" '.loss == 0 and .delay_us == 5000')" = true ] || fail "not healed"
gone "$load" && fail "fio: $(fio_said)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere

refuse 64 "nobody" cut nobody "$home"
refuse 64 "no link joins" slow east west --delay 1ms
refuse 64 "such as 1%" slow nwk west --loss 101%
refuse 64 "such as 100Mbit" slow nwk west --bandwidth 5
refuse 64 "say what" slow nwk west
refuse 64 "either A and B" heal nwk
stop_up || fail "it does not stop"
[ -e "$S/.netns/$home" ] && fail "the network is still there"
refuse 69 'no lab runs' links
sed 's/distance: 1000mi/trusted: true/; s/{at: [^}]*}/{}/' "$D/t.yaml" >"$D/unknown.yaml"
refuse 78 'neither a distance' up "$D/unknown.yaml"
pass

#!/bin/bash
# `dipole budget`: for each example, by hand for one, and what it refuses.
source "$(dirname "$0")/lib.sh"
budget() { bounded 20 dipole budget "$@" 2>"$D/err"; }
refuse() { # EXIT-CODE WORDS ARGUMENTS...
  local want=$1 words=$2
  shift 2
  budget "$@" >"$D/out"
  [ $? = "$want" ] || fail "budget $*: not exit code $want"
  grep -q -- "$words" "$D/err" || fail "budget $*: no word of $words: $(cat "$D/err")"
}

for file in "$EXAMPLES"/*.yaml; do
  budget "$file" --budget 2ms >"$D/out" || fail "$file: $(cat "$D/err")"
  grep -q 'receives the acknowledgement$' "$D/out" || fail "no timeline of $file"
  budget "$file" --json >"$D/json" || fail "$file: $(cat "$D/err")"
  jq -e '.ack_us <= .flush_us and ([.events[].t_us] | . == sort) and
    (.ack_us as $ack | any(.events[]; .at == "host" and .t_us == $ack))' "$D/json" >/dev/null ||
    fail "not a budget of $file: $(cat "$D/json")"
done

# 45 miles to each pole: out, a node's work, its journal, back, the controller's work, the host's.
sed 's/^  - {between: .*\(\[[a-z, -]*\]\).*/  - {between: \1, distance: 45mi, trusted: true}/' \
  "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
budget "$D/t.yaml" --json --propagation 8us/mi --work 10us --commit 50us --budget 1ms >"$D/json" ||
  fail "$(cat "$D/err")"
jq -e '.ack_us == 10 + 360 + 10 + 50 + 360 + 10 + 10 and .fits and
  (.legs[0].reach_m / 1609.344 | . > 56.8 and . < 56.9)' "$D/json" >/dev/null ||
  fail "wrong: $(cat "$D/json")"

refuse 64 'SIZE\|size such as' "$D/t.yaml" --size 4parsec
refuse 64 'us/mi' "$D/t.yaml" --propagation fast
refuse 64 'from 1' "$D/t.yaml" --route-factor 0.5
refuse 64 'no stream' "$D/t.yaml" --stream nothing
refuse 66 'none.yaml' "$D/none.yaml"
sed 's/distance: 45mi, //; s/{at: [^}]*}/{}/' "$D/t.yaml" >"$D/unknown.yaml"
refuse 78 'no distance' "$D/unknown.yaml"
echo 'dipole: 2' >"$D/bad.yaml"
refuse 78 'bad.yaml:1' "$D/bad.yaml"
pass

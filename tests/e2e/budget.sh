#!/bin/bash
# SPDX-License-Identifier: MIT
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

# check_page FILE US: whole; both pictures are well-formed, have something in them, and nothing outside of
# their frames; no two labels cover each other; the answer is there.
check_page() {
  bounded 20 python3 - "$@" <<'PY'
import re, sys
from xml.etree import ElementTree
page = open(sys.argv[1]).read()
assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
assert "http" not in page, "it needs something from elsewhere"
pictures = [ElementTree.fromstring(p) for p in re.findall(r"<svg.*?</svg>", page, re.S)]
assert len(pictures) == 2, "pictures: %d" % len(pictures)
for p in pictures:
    _, _, width, height = map(float, p.get("viewBox").split())
    lines, texts = p.findall("line"), p.findall("text")
    assert len(lines) > 1 and len(texts) > 2
    for l in lines:
        assert all(0 <= float(l.get(k)) <= width for k in ("x1", "x2")), l.attrib
        assert all(0 <= float(l.get(k)) <= height for k in ("y1", "y2")), l.attrib
    boxes = []
    for t in texts:
        x, y, size = float(t.get("x")), float(t.get("y")), 7 * len(t.text)
        left = x - {"start": 0, "middle": size / 2, "end": size}[t.get("text-anchor")]
        boxes.append((t.text, left, left + size, y))
        assert 0 <= y <= height, t.text
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[1] >= b[2] or b[1] >= a[2] or abs(a[3] - b[3]) >= 10, "%s covers %s" % (a, b)
assert "<b>%.0f us</b>" % float(sys.argv[2]) in page
PY
}

for file in "$EXAMPLES"/*.yaml; do
  budget "$file" --budget 2ms >"$D/out" || fail "$file: $(cat "$D/err")"
  grep -q 'receives the acknowledgement$' "$D/out" || fail "no timeline of $file"
  budget "$file" --json >"$D/json" || fail "$file: $(cat "$D/err")"
  jq -e '.ack_us <= .flush_us and ([.events[].t_us] | . == sort) and
    (.ack_us as $ack | any(.events[]; .at == "host" and .t_us == $ack))' "$D/json" >/dev/null ||
    fail "not a budget of $file: $(cat "$D/json")"
  budget "$file" --format html >"$D/page.html" || fail "$file: $(cat "$D/err")"
  check_page "$D/page.html" "$(jq .ack_us "$D/json")" || fail "page of $file"
done

# 45 miles to each pole: out, a node's work, its journal, back, the controller's work, the host's.
sed 's/^  - {between: .*\(\[[a-z, -]*\]\).*/  - {between: \1, distance: 45mi, trusted: true}/' \
  "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
budget "$D/t.yaml" --json --propagation 8us/mi --work 10us --commit 50us --budget 1ms >"$D/json" ||
  fail "$(cat "$D/err")"
jq -e '.ack_us == 10 + 360 + 10 + 50 + 360 + 10 + 10 and .fits and
  (.legs[0].reach_m / 1609.344 | . > 56.8 and . < 56.9)' "$D/json" >/dev/null ||
  fail "wrong: $(cat "$D/json")"

# The same with the round trips as measured, which are longer; a mirror that answers as quickly stands where
# these do; and what a relay at the door would change.
sed 's/distance: 45mi/distance: 45mi, round-trip: 2ms/' "$D/t.yaml" >"$D/rt.yaml"
budget "$D/rt.yaml" --json --work 10us --commit 50us --what-if relay=west:0mi,legs=1,flush=committed >"$D/json" ||
  fail "$(cat "$D/err")"
jq -e '.ack_us == 2000 + 50 + 40 and .legs[0].hops[0].propagation_us == 1000 and
  (.one_sided_m * 10 / 1609.344 | . > 1999.9 and . < 2000.1) and
  .what_if.ack_us == 50 + 40 and .what_if.flush_us == 2000 + 50 + 40' "$D/json" >/dev/null ||
  fail "wrong: $(cat "$D/json")"

refuse 64 'SIZE\|size such as' "$D/t.yaml" --size 4parsec
refuse 64 'us/mi' "$D/t.yaml" --propagation fast
refuse 64 'from 1' "$D/t.yaml" --route-factor 0.5
refuse 64 'text, json or html' "$D/t.yaml" --format pdf
refuse 64 'a leg of the stream' "$D/t.yaml" --what-if relay=north:1mi
refuse 64 'up to that of' "$D/t.yaml" --what-if relay=west:46mi
refuse 64 'number up to' "$D/t.yaml" --what-if ack=committed,legs=3
refuse 64 'one of ack' "$D/t.yaml" --what-if speed=more
refuse 64 'about FILE' --measured --what-if ack=local
refuse 64 'no stream' "$D/t.yaml" --stream nothing
refuse 66 'none.yaml' "$D/none.yaml"
sed 's/distance: 45mi, //; s/{at: [^}]*}/{}/' "$D/t.yaml" >"$D/unknown.yaml"
refuse 78 'neither a distance' "$D/unknown.yaml"
echo 'dipole: 2' >"$D/bad.yaml"
refuse 78 'bad.yaml:1' "$D/bad.yaml"
refuse 64 'either FILE' --json
refuse 64 'either FILE' "$D/t.yaml" --measured
refuse 66 'no deployment' --measured --state "$D/nothing"

# Beside what is measured: each stage of each hop has seen records.
up "$EXAMPLES/bipolar-cascade.yaml"
(fio_load data --rw=write --bs=4k --iodepth=1 --size=64k --fsync=4) || fail "no load: $(fio_said)"
all_seen() {
  budget --measured --state "$S" --json >"$D/json" && jq -e '.stages | length == 27 and
    all(.[]; .measured.count >= (if .stage == "round trip" then 1 else 3 end))' "$D/json" >/dev/null
}
wait_until 20 all_seen || fail "not measured: $(cat "$D/err" "$D/json")"
jq -e '[.stages[] | select(.stage == "write answered")][0] | .predicted_us > 0 and .measured.p50_us > 0 and
  .measured.p50_us <= .measured.p99_us' "$D/json" >/dev/null || fail "wrong: $(cat "$D/json")"
budget --measured --state "$S" | grep -q 'relay-east-2  *east  *acknowledged' || fail "no table"
stop_up || fail "it does not stop"
refuse 69 'no node' --measured --state "$S"
pass

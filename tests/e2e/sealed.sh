#!/bin/bash
# SPDX-License-Identifier: MIT
# A sealed stream (seal:): relays hold and hand on what they cannot read, and all the rest is as ever: daemons
# that are killed, a mirror that lost its disk and is filled through relays, reads through relays, a file that
# does not say the same everywhere.
source "$(dirname "$0")/lib.sh"

cipher=chacha20-poly1305
grep -qw aes /proc/cpuinfo && grep -qw pclmulqdq /proc/cpuinfo && cipher=aes256-gcm
sed -E -e "s/^( +)flush: committed.*/\1flush: committed\n\1seal: $cipher/" \
  -e 's/^( +journal:).*/\1 {size: 32MiB, when-full: track}\n    when-leg-down: {keep-serving: 1}/' \
  -e 's/journal: 256MiB\}/journal: 32MiB}/; s/size: 256MiB/size: 64MiB/; s/size: 64MiB\}$/size: 48MiB}/' \
  -e '/^links:/i heartbeat: {interval: 100ms, down-after: 500ms, probation: 200ms}' \
  "$EXAMPLES/bipolar-cascade.yaml" >"$D/sealed.yaml"
relays='relay-west relay-east-1 relay-east-2'

MARK="nobody between the poles reads this"
# shellcheck disable=SC2086 # FILES is a pattern
holds() { grep -qaF "$MARK" "$S/$1/"$2; } # NODE FILES
whole() { is "$1" '.images.state == "UpToDate"'; }

up "$D/sealed.yaml"
is nwk '.seal == "'$cipher'"' || fail "status does not say so: $(field nwk .seal)"

# 1. What the mirrors lack is in the relays' journals, and in the controller's, closed.
yes "$MARK" | head -c 2M >"$D/text"
for node in west east; do kill -STOP "$(pid_of $node)"; done
background nbdcopy "$D/text" "$(uri data)"
copy=$!
for relay in $relays; do
  wait_until 20 is "$relay" '.last >= 8' || fail "nothing reaches $relay"
done
for node in $relays nwk; do
  holds "$node" 'journal.*' && fail "the text stands in the journal of $node"
done
for node in west east; do kill -CONT "$(pid_of $node)"; done
await 60 "$copy" || fail "nbdcopy"
same_everywhere
for node in west east; do
  wait_until 30 holds $node image.data || fail "the text does not stand in the image of $node"
done
for relay in $relays; do
  holds "$relay" 'journal.*' && fail "the text stands in the journal of $relay"
done

# 2. Each daemon is killed in turn under load: what is in the journals is opened by the next process.
background fio_until_enough data 16 --rate=6M
load=$!
for node in nwk west relay-east-1 nwk; do
  last=$(field nwk .last)
  kill -KILL "$(pid_of $node)"
  wait_until 30 is nwk ".last > $last + 20" || fail "no writes after $node was killed"
done
gone "$load" && fail "fio: $(fio_said)"

# 3. A mirror loses its disk, and is filled from the other pole, over all relays.
wait_until 30 all_open || fail "not all links come back"
p=$(pid_of east)
kill -STOP "$p"
find "$S/east" -mindepth 1 ! -name key -delete
kill -KILL "$p"
wait_until 30 is east '.images.generation == 1 and .images.state == "UpToDate"' || fail "no resync: $(field east .images)"
gone "$load" && fail "fio: $(fio_said)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere
for relay in $relays; do
  holds "$relay" 'journal.*' && fail "the text stands in the journal of $relay"
done

# 4. A mirror that is not told so does not start over sealed records, and loses nothing by it.
qio data 'write -P 7 0 64k' || fail "write: $(cat "$D/qio.log")"
sed -i '/^    seal:/d' "$S/topology.yaml"
kill -KILL "$(pid_of west)"
refused() { grep -q 'the topology does not say that the stream is sealed, or' "$S/west/log"; }
wait_until 20 refused || fail "a mirror starts that cannot open its journal"
stop_up
up "$D/sealed.yaml"
qio data 'read -P 7 0 64k' || fail "read: $(cat "$D/qio.log")"
same_everywhere
stop_up
[ "$UP_STATUS" = 0 ] || fail "up ended with $UP_STATUS: $(cat "$D/up.log")"

# 5. Between clean stops, with everything committed, it may be turned off, and on again.
sed '/^    seal:/d' "$D/sealed.yaml" >"$D/open.yaml"
up "$D/open.yaml"
is nwk '.seal == "none"' || fail "it is still sealed: $(field nwk .seal)"
qio data 'read -P 7 0 64k' 'write -P 8 0 64k' || fail "not sealed: $(cat "$D/qio.log")"
same_everywhere
stop_up
up "$D/sealed.yaml"
qio data 'read -P 8 0 64k' 'write -P 9 0 64k' || fail "sealed again: $(cat "$D/qio.log")"
same_everywhere
pass

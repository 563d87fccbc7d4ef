#!/bin/bash
# SPDX-License-Identifier: MIT
# Wrong addresses, ports, keys, sizes and names in the topology file crash and hang nothing, are said,
# and are put right without a restart where that does not change what is on the disks: `dipole reload`.
source "$(dirname "$0")/lib.sh"

leg_is() { [ "$(field nwk ".links[] | select(.leg == \"$1\") | .state")" = "$2" ]; }
reload() { bounded 20 dipole reload --state "$S" "$@" >"$D/reload" 2>&1; }
said() { grep -qE "$1" "$D/reload" || fail "reload does not say \"$1\": $(cat "$D/reload")"; }
pids_before() { for n in nwk west east; do echo "$n=$(pid_of $n)"; done; }

sed -E -e 's/^( +)ack: .*/&\n\1when-leg-down: {keep-serving: 1}/' \
  -e '/^links:/i heartbeat: {interval: 100ms, down-after: 1s, probation: 200ms}' \
  "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
up "$D/t.yaml"
file=$S/topology.yaml
cp "$file" "$D/right.yaml"
background fio_until_enough disk 16 --rate=4M
load=$!
wait_until 20 is nwk '.last > 100' || fail "no load"
before=$(pids_before)
reload && [ "$(grep -c 'nothing has changed' "$D/reload")" = 3 ] || fail "nothing: $(cat "$D/reload")"

value_of() { sed -n "/^  west:/,/^  east:/s/^    $1: \"\(.*\)\"\$/\1/p" "$D/right.yaml"; }
address=$(value_of listen) key=$(value_of key)
[ -n "$address" ] && [ -n "$key" ] || fail "the file has changed: $(cat "$file")"
other=$(dipole keygen x --out "$D" | grep -oE '[^ "]{40}' | tail -n 1)
# replaced FROM TO: the right file with another text, as it is.
replaced() { FROM=$1 TO=$2 awk '{ while ((i = index($0, ENVIRON["FROM"]))) $0 = substr($0, 1, i - 1) ENVIRON["TO"] substr($0, i + length(ENVIRON["FROM"])); print }' "$D/right.yaml"; }

# try WHAT FROM TO: a wrong value for west at the controller, which loses that leg and goes on; then the
# right one again.
try() {
  replaced "$2" "$3" >"$file"
  reload --node nwk || fail "a $1 is not taken over: $(cat "$D/reload")"
  said 'nwk: changed: address or key of west'
  wait_until 20 is nwk 'any(.links[]; .leg == "west" and .state != "Connected")' || fail "$1: west stays connected"
  wait_until 20 is nwk 'any(.links[]; .leg == "west" and (.in_sync | not))' || fail "$1: west counts"
  at=$(field nwk .acked_requests)
  wait_until 30 is nwk ".acked_requests > $at + 50" || fail "$1: writes do not go on"
  cp "$D/right.yaml" "$file"
  reload --node nwk || fail "the right value is not taken over: $(cat "$D/reload")"
  wait_until 30 leg_is west Connected || fail "$1: west does not come back"
  wait_until 30 is nwk 'all(.links[]; .in_sync)' || fail "$1: west does not count again"
}
try "wrong port" "$address" "${address%:*}:9"
try "wrong address" "$address" "tcp://127.0.0.77:${address##*:}"
try "wrong key" "$key" "$other"
try "name that does not resolve" "$address" "tcp://no-such-host.invalid:${address##*:}"

# What is no topology file is refused with file, line and key, and nothing changes.
for wrong in 's/^streams:/stream:/' 's/^( +)legs:/\1legz:/' 's/size: .*/size: 12x/' 's/role: mirror/role: miror/' '1s/.*/{/'; do
  sed -E "$wrong" "$D/right.yaml" >"$file.new" && mv "$file.new" "$file"
  reload && fail "$wrong is taken over"
  said 'topology.yaml:[0-9]+:[0-9]+: '
  kill -HUP "$(pid_of nwk)"
done
# What cannot be done at all is refused as a whole.
sed -E -e 's/(disk: .*size: )[0-9A-Za-z]+/\1512MiB/' -e 's/down-after: [0-9a-z.]+/down-after: 2s/' "$D/right.yaml" >"$file"
reload --node nwk && fail "a smaller size is taken over"
said 'volume disk: 536870912 bytes instead of 1073741824: a volume cannot become smaller'
cp "$D/right.yaml" "$file"
sed -E 's/down-after: [0-9a-z.]+/down-after: 2s/' "$D/right.yaml" >"$file"
reload && said '^east: changed: heartbeats with nwk' || fail "intervals: $(cat "$D/reload")"
wait_until 30 is nwk 'all(.links[]; .in_sync)' || fail "a leg does not count after new intervals"

[ "$(pids_before)" = "$before" ] || fail "a daemon was started anew"
gone "$load" && fail "fio: $(fio_said)"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere
pass

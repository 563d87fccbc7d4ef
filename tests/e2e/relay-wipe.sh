#!/bin/bash
# SPDX-License-Identifier: MIT
# Relays lose their disks under load, and in the end the controller with those next to it. With retain: committed nothing is missing afterwards. With
# retain: next-hop the loss of what only that relay had is said, not hidden, and the leg does not
# count until it is resynced from the other. ROUNDS=N (default 1)
source "$(dirname "$0")/lib.sh"

# Their whole state directories are gone before they start again, but for the keys, and what belongs
# to the NBD server, which is another machine's in what is tried here.
wipe() { # NODES...
  local node p=()
  for node in "$@"; do p+=("$(pid_of "$node")"); done
  kill -STOP "${p[@]}"
  for node in "$@"; do find "$S/$node" -mindepth 1 ! -name key ! -name 'nbd*' -delete; done
  kill -KILL "${p[@]}"
}
alarmed() { field "$1" '.alarms[].text' | grep -q "$2"; }

# 1. retain: committed
up "$EXAMPLES/bipolar-cascade.yaml"
background fio_until_enough data 16 --rate=6M
load=$!
for ((round = 0; round < ${ROUNDS:-1}; round++)); do
  for relay in relay-east-1 relay-west relay-east-2; do
    wait_until 20 is nwk '.last > 100' || fail "no load"
    wipe "$relay"
    before=$(field nwk .last)
    wait_until 60 is nwk ".committed > $before" || fail "stuck after $relay lost its disk"
    wait_until 60 all_open || fail "the leg of $relay is not whole again"
    gone "$load" && fail "fio: $(fio_said)"
  done
done
wait_until 20 alarmed nwk "lost its journal" || fail "nwk does not say that a relay lost its journal"
wait_until 20 alarmed relay-east-1 "lost its journal" || fail "relay-east-1 does not say that relay-east-2 lost its journal"
touch "$D/enough"
await 60 "$load" || fail "fio: $(fio_said)"
same_everywhere
stop_up
rm "$D/enough"
S=$D/s2

# 2. retain: next-hop
sed -E 's/(relay-east-[12]:.*journal: 256MiB)/\1, retain: next-hop/' "$EXAMPLES/bipolar-cascade.yaml" >"$D/next.yaml"
up "$D/next.yaml"
QIO_LIMIT=30 qio data 'write -P 1 0 1M' flush || fail "write: $(cat "$D/qio.log")"
kill -STOP "$(pid_of east)"
bounded 30 fio_load data --rw=write --bs=64k --iodepth=8 --size=48M || fail "writes: $(fio_said)"
wait_until 20 is relay-east-1 '.links[0] | .cached == .sent and .sent > 760' || fail "relay-east-2 does not get the writes"
wait_until 20 is relay-east-1 '.journal.used_bytes < 20000000' || fail "next-hop does not let go: $(field relay-east-1 .journal)"
wipe relay-east-2
kill -CONT "$(pid_of east)"
wait_until 40 alarmed relay-east-1 "it is resynced" || fail "the loss is not said: $(field relay-east-1 .alarms)"
grep -q "alarm.*it is resynced" "$S/relay-east-1/log" || fail "the loss is not in the log"
wait_until 40 alarmed nwk "no longer counts" || fail "a leg counts that is not whole: $(field nwk .alarms)"
wait_until 60 is east '.images.generation == 1' || fail "east is not resynced: $(field east .images)"
same_everywhere
stop_up
S=$D/s3

# 3. The place of the controller is lost, and the relays next to it: what the mirrors have remains.
up "$EXAMPLES/bipolar-cascade.yaml"
pid=$(pid_of nwk)
kill "$pid" # its second epoch: a controller without a journal begins with the first
wait_until 20 gone "$pid" || fail "nwk does not stop"
wait_until 30 all_open || fail "nwk does not come back"
QIO_LIMIT=30 qio data 'write -P 3 5M 3M' flush || fail "write: $(cat "$D/qio.log")"
wait_until 20 committed || fail "not everything is committed"
wipe nwk relay-west relay-east-1
wait_until 60 is nwk '.state == "Open"' || fail "nwk does not come back"
QIO_LIMIT=40 qio data 'read -P 3 5M 3M' 'write -P 4 6M 1M' || fail "the mirrors' content does not come back: $(cat "$D/qio.log")"
same_everywhere
pass

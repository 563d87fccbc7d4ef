#!/bin/bash
# SIGTERM stops everything cleanly; started again, all data is there.
source "$(dirname "$0")/lib.sh"
up "$ROOT/deploy/examples/local-mirror.yaml"
controller=$(basename "$(dirname "$D"/s/*/host.sock)")
timeout 30 qemu-io -f raw "$(uri data)" -c 'write -P 11 3M 3M' -c flush >/dev/null || fail "write"
pids=$(cat "$D"/s/*/pid)
stop_up
[ "$UP_STATUS" = 0 ] || fail "up ended with $UP_STATUS"
for p in $pids; do kill -0 "$p" 2>/dev/null && fail "process $p still runs"; done
up "$ROOT/deploy/examples/local-mirror.yaml"
timeout 30 qemu-io -f raw "$(uri data)" -c 'read -P 11 3M 3M' >"$D/out" 2>&1 || fail "$(cat "$D/out")"
grep -q "verification failed" "$D/out" && fail "other data after a restart"
same_everywhere data "$controller"
pass

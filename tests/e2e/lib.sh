# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Helpers of the end-to-end tests: real daemons in a temporary directory, gone on every way out.
#
# A test sources this file, uses the functions, and ends with `pass`. Environment:
#   DIPOLE_BUILD  the build directory; ../../build from here if not set
#   E2E_KEEP=1    leave the state directory of a failed test behind
set -u
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
BUILD=$(cd "${DIPOLE_BUILD:-$ROOT/build}" && pwd) || exit 1
# shellcheck disable=SC2034 # the tests use it
EXAMPLES=$ROOT/deploy/examples
NAME=$(basename "$0" .sh)
D=$(mktemp -d "${TMPDIR:-/tmp}/dipole-e2e.XXXXXX")
S=$D/s
UP_PID=
UP_STATUS=
declare -A CHILDREN=()

dipole() { "$BUILD/controller/cli/dipole" "$@"; }

# ---- sanitizers ----

# A daemon that a sanitizer ends is started again, and the test may pass. So what is found goes
# into files, and cleanup looks for them (docs/testing.md).
E2E_RUNTIME=$(ldd "$BUILD/controller/nbd/nbdkit-dipole-plugin.so" | awk '/lib[at]san/ {print $3}')
if [ -n "$E2E_RUNTIME" ]; then
  for options in ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS; do
    export $options="${!options:-}:log_path=$D/sanitizer"
  done
  UBSAN_OPTIONS+=:print_stacktrace=1
  TSAN_OPTIONS+=:suppressions=$ROOT/tests/tsan.supp
  export E2E_RUNTIME DIPOLE_BIN_DIR=$HERE/sanitized # its nbdkit comes first
fi

# What a daemon's memory is held against: under ThreadSanitizer its shadow is several times as large as what
# it shadows, so that only what grows without bounds is found.
limit_kib() { case $E2E_RUNTIME in *tsan*) echo $(($1 * 4)) ;; *) echo "$1" ;; esac }

# Prints what was found. Beside ASan, UBSan writes to stderr whatever its log_path is.
complaints() {
  {
    cat "$D"/sanitizer.*
    grep -rIh -A 20 --include=log --include='*.log' 'runtime error: ' "$D"
  } 2>/dev/null | grep .
}

# ---- ways out ----

# A pid file may be older than its process: only what was started for $D is ours.
ours() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF "$D/"; } 2>/dev/null

# Our own process still, not another that was given its number.
child() { [ "$(ps -o ppid= -p "$1" 2>/dev/null | tr -d ' ')" = "$$" ]; }

each_daemon() {
  local f p
  for f in "$S"/*/pid "$S"/*/nbdkit.pid; do
    p=$(cat "$f" 2>/dev/null) && [ -n "$p" ] && ours "$p" && kill "$1" "$p" 2>/dev/null
  done
}

cleanup() {
  local status=$? p
  trap '' INT TERM
  umount -l "$S/topology.yaml" 2>/dev/null # of apply.sh
  each_daemon -CONT
  [ -f "$D/fio.pid" ] && p=$(cat "$D/fio.pid") && ours "$p" && kill -KILL "$p" 2>/dev/null
  for p in "${!CHILDREN[@]}"; do child "$p" && kill -KILL "$p" && wait "$p"; done 2>/dev/null
  if [ -n "$UP_PID" ]; then
    kill "$UP_PID" 2>/dev/null
    wait_until 30 gone "$UP_PID" || kill -KILL "$UP_PID" 2>/dev/null
    each_daemon -KILL
  fi
  if complaints; then
    echo "FAILED $NAME: a sanitizer complains"
    KEPT=1 status=1
  fi
  [ -n "${KEPT:-}" ] && [ -n "${E2E_KEEP:-}" ] && echo "kept: $D" && exit "$status"
  rm -rf "$D"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

fail() {
  local f
  echo "FAILED $NAME: $*"
  for f in "$S"/*/log; do
    [ -f "$f" ] && sed "s,^,  $(basename "$(dirname "$f")"): ," "$f" | grep -vE ' (recovered|ready) ' | tail -n 4
  done
  [ -d "$S" ] && timeout 10 "$BUILD/controller/cli/dipole" status --state "$S" 2>&1 | sed 's,^,  ,'
  KEPT=1
  exit 1
}
pass() {
  echo "ok $NAME"
  exit 0
}
# skip WHY: this machine cannot run the test, and ctest says so.
skip() {
  echo "skipped $NAME: $*"
  exit 77
}

# ---- waiting: always for a condition, always with a limit ----

now_ms() { date +%s%3N; }

# wait_until SECONDS COMMAND...: until the command succeeds.
wait_until() {
  local limit=$(($(now_ms) + $1 * 1000))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(now_ms)" -lt "$limit" ] || return 1
    sleep 0.05
  done
}

# never_in SECONDS COMMAND...: the command fails all that time.
never_in() { ! wait_until "$@"; }

gone() { ! kill -0 "$1" 2>/dev/null; }

# background COMMAND...: $! is its pid; it ends with the test at the latest.
background() {
  "$@" &
  CHILDREN[$!]=1
}

# await SECONDS PID: its exit status, 124 if it does not end.
await() {
  wait_until "$1" gone "$2" || return 124
  unset "CHILDREN[$2]"
  wait "$2"
}

# bounded SECONDS COMMAND...
bounded() {
  local limit=$1
  shift
  background "$@"
  local pid=$! status=0
  await "$limit" "$pid" || status=$?
  [ "$status" != 124 ] || kill -KILL "$pid" 2>/dev/null
  return "$status"
}

# ---- the deployment ----

# up TOPOLOGY: brings it up in $S (HOW='lab up': in a lab); every node is open and every link is connected.
up() {
  : >"$D/up.log"
  # shellcheck disable=SC2086
  "$BUILD/controller/cli/dipole" ${HOW:-up} "$1" --state "$S" >"$D/up.log" 2>&1 &
  UP_PID=$!
  wait_until 60 grep -qx ready "$D/up.log" || fail "up: $(tail -n 3 "$D/up.log")"
  wait_until 30 all_open || fail "the links do not come up"
  CONTROLLER=$(basename "$(dirname "$(ls "$S"/*/host.sock)")")
}

# Stops it in good order; UP_STATUS is its exit status.
stop_up() {
  kill "$UP_PID"
  await "${1:-45}" "$UP_PID"
  UP_STATUS=$?
  [ "$UP_STATUS" = 124 ] || UP_PID=
}

uri() { grep -m1 "^nbd.*/$1?" "$D/up.log"; }
volumes() { sed -nE 's,^nbd[^/]*///([^?]*)\?.*,\1,p' "$D/up.log"; }
nodes() { (cd "$S" && ls -d -- */ | tr -d /); }
pid_of() { cat "$S/$1/pid"; }
pids() { for n in $(nodes); do echo "$n $(pid_of "$n")"; done; }

# field NODE FILTER: from the status of its first stream. A node that is busy may miss one question.
status_of() { timeout 10 "$BUILD/controller/cli/dipole" status --state "$S" --node "$1" --json; }
field() {
  local answer
  answer=$(status_of "$1") || answer=$(sleep 0.1 && status_of "$1")
  jq -e -r ".nodes[0].streams[0] | $2" <<<"$answer"
}
# is NODE FILTER: the filter says true.
is() { [ "$(field "$1" "$2")" = true ]; }

all_open() {
  timeout 20 "$BUILD/controller/cli/dipole" status --state "$S" --json | jq -e '
    [.nodes[].streams | length > 0 and all(.[]; .state == "Open" and
      all(.links[]; .state == "Connected"))] | length > 0 and all'
}
committed() { is "$CONTROLLER" '.committed == .last'; }
sets() { timeout 10 "$BUILD/controller/cli/dipole" sets "$1" --state "$S" --json; }
executing() { sets "$1" | jq -e 'any(.sets[]; .state == "executing")'; }

# resync_rate RATE [NODE]: in the topology file, so from the next start on, and at NODE at once. What is
# to be looked at in the middle of a resync is made slow, or a slow machine looks too late.
resync_rate() {
  sed -i -E "s/^( +resync-rate:).*/\1 $1/" "$S/topology.yaml"
  [ -z "${2:-}" ] || bounded 20 dipole reload --state "$S" --node "$2" >"$D/reload" 2>&1 ||
    fail "the resync rate is not taken over: $(cat "$D/reload")"
}

# ---- a load that goes on until it is ended ----

begin_load() { # VOLUME
  fio --name=load --ioengine=nbd --uri="$(uri "$1")" --rw=randwrite --bs=16k --iodepth=8 --size=40m --time_based \
    --runtime=600 --rate_iops=300 --fsync=50 --output="$D/fio.out" >/dev/null 2>"$D/fio.err" &
  LOAD=$!
  CHILDREN[$LOAD]=1
  echo "$LOAD" >"$D/fio.pid"
}
# moves WHAT: it goes on after that; fio ends at the first error that it sees.
moves() {
  local from
  from=$(field "$CONTROLLER" .last) || fail "the controller does not answer after: $1"
  wait_until 20 is "$CONTROLLER" ".last > $from + 100" && kill -0 "$LOAD" || fail "the load stands still after: $1: $(cat "$D/fio.err")"
}
end_load() {
  kill "$LOAD" || fail "the load has ended by itself: $(cat "$D/fio.err")"
  wait "$LOAD" 2>/dev/null
  unset "CHILDREN[$LOAD]"
  ! grep -qi error "$D/fio.err" || fail "the host has seen an error: $(cat "$D/fio.err")"
}

# All mirrors hold what the host sees.
same_everywhere() {
  local volume seen
  wait_until "${1:-90}" committed || fail "not everything is committed in the end"
  for volume in $(volumes); do
    rm -f "$D/view"
    bounded 120 nbdcopy "$(uri "$volume")" "$D/view" || fail "the host cannot read $volume"
    seen=$(dipole digest --file "$D/view" --json | jq -r .digest)
    rm -f "$D/view"
    bounded 90 dipole digest "$volume" --state "$S" --timeout 60s --json >"$D/digests" ||
      fail "digests of $volume: $(cat "$D/digests")"
    jq -e --arg seen "$seen" '.complete and .equal and (.mirrors | length >= 2) and
      all(.mirrors[]; .done and .digest == $seen)' "$D/digests" >/dev/null ||
      fail "mirrors of $volume differ from the host's view $seen: $(cat "$D/digests")"
  done
}

# ---- a bad network (proxy.py) between the controller and the nodes next to it ----

network() { echo "${*:2}" 1<>"$D/$1.fifo"; } # NODE COMMAND...; opened for both, or it waits for a reader

# networks NODE...: before `up`. That chooses the ports, so it is given another dipole-controller, which
# tells the networks where the nodes are, and starts the real one with a topology in which it finds the
# networks there.
networks() {
  local node
  for node in "$@"; do
    mkfifo "$D/$node.fifo"
    background python3 "$HERE/proxy.py" "$D/$node.fifo" >"$D/$node.net" 2>"$D/$node.net.err"
  done
  for node in "$@"; do
    wait_until 10 grep -q . "$D/$node.net" || fail "the network of $node: $(cat "$D/$node.net.err")"
  done
  mkdir "$D/bin"
  cat >"$D/bin/dipole-controller" <<EOF
#!/bin/bash
cp "\$2" "$D/seen.yaml"
for node in $*; do
  sed -n "/^  \$node:/,/listen:/s/.*127.0.0.1:\([0-9]*\).*/to \1/p" "\$2" 1<>"$D/\$node.fifo"
  sed -i "/^  \$node:/,/listen:/s/127.0.0.1:[0-9]*/127.0.0.1:\$(head -n 1 "$D/\$node.net")/" "$D/seen.yaml"
done
exec "$BUILD/controller/dipole-controller" --topology "$D/seen.yaml" "\${@:3}"
EOF
  chmod +x "$D/bin/dipole-controller"
  export DIPOLE_BIN_DIR=$D/bin:${DIPOLE_BIN_DIR:-}
}

# ---- hosts ----

# For `bounded` and `background` only. fio_load VOLUME OPTIONS...; the log is $D/fio.log.
fio_load() {
  local to
  to=$(uri "$1")
  shift
  cd "$D" && exec fio --name=load --thread --ioengine=nbd --uri="$to" --output="$D/fio.log" 2>>"$D/fio.err" \
    --randseed="${SEED:-$RANDOM}" "$@"
}

# A load that verifies itself. fio_verify VOLUME MIB OPTIONS... Each block is written once, with the
# number of the run in it: checksums alone would not notice that a block of an earlier run, which has
# the right ones, stands where this run wrote.
fio_verify() {
  local volume=$1 size=$2
  shift 2
  fio_load "$volume" --rw=randwrite --bsrange=512-1M --iodepth=16 --size="${size}M" --verify=pattern \
    --verify_pattern="0x$(printf %08x "${RUN:-1}")%o" --verify_fatal=1 --do_verify=1 --verify_state_save=0 "$@"
}

# The same again and again, until $D/enough exists. It leaves its number of runs in $D/runs. A run that
# begins while nobody serves the disk is refused after 10 s (DIPOLE_TIMEOUT_MS), and begins again; three in
# a row are too many.
fio_until_enough() {
  local fio refused=0 RUN=1 SEED=${SEED:-$RANDOM}
  exec 2>>"$D/fio.err"
  until [ -e "$D/enough" ]; do
    fio_verify "$@" &
    fio=$!
    echo "$fio" >"$D/fio.pid"
    if ! wait "$fio"; then
      grep -q nbd_connect_uri "$D/fio.log" && [ $((++refused)) -lt 3 ] || exit 1
      sleep 0.2
      continue
    fi
    refused=0
    echo "$RUN" >"$D/runs"
    RUN=$((RUN + 1)) SEED=$((SEED + 1))
  done
}
fio_said() { cat "$D/fio.err" "$D/fio.log" 2>/dev/null | grep -E 'error|err=|verify|nbd_connect' | head -n 5; }

# qio VOLUME COMMAND...: qemu-io; fails also where a pattern is not what it should be.
qio() {
  local to command args=()
  to=$(uri "$1")
  shift
  for command in "$@"; do args+=(-c "$command"); done
  bounded "${QIO_LIMIT:-60}" qemu-io -f raw "$to" "${args[@]}" >"$D/qio.log" 2>&1 &&
    ! grep -qiE 'failed|error' "$D/qio.log"
}

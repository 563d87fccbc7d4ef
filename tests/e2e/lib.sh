# Helpers of the end-to-end tests: real daemons in a temporary directory, gone on every way out.
# A test sources this file, uses the functions, and ends with `pass`.
set -u
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
BUILD=${DIPOLE_BUILD:-$ROOT/build}
NAME=$(basename "$0" .sh)
D=$(mktemp -d "${TMPDIR:-/tmp}/dipole-e2e.XXXXXX")
UP_PID=
CHILDREN=()

dipole() { "$BUILD/controller/cli/dipole" "$@"; }

cleanup() {
  for p in "${CHILDREN[@]}"; do kill -CONT "$p" 2>/dev/null; kill "$p" 2>/dev/null; done
  stop_up
  rm -rf "$D"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

fail() {
  echo "FAILED $NAME: $*"
  tail -n 5 "$D"/s/*/log 2>/dev/null
  exit 1
}
pass() {
  echo "ok $NAME"
  exit 0
}

# wait_until SECONDS COMMAND...: polls until the command succeeds.
wait_until() {
  local limit=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$limit" ] || return 1
    sleep 0.05
  done
}

# up TOPOLOGY: brings it up in $D/s and waits until it is ready.
up() {
  "$BUILD/controller/cli/dipole" up "$1" --state "$D/s" >"$D/up.log" 2>&1 &
  UP_PID=$!
  wait_until 60 grep -qx ready "$D/up.log" || fail "up: $(tail -n 3 "$D/up.log")"
  local c
  for c in "$D"/s/*/host.sock; do # a new deployment begins once all its nodes have met
    wait_until 30 is_open "$(basename "$(dirname "$c")")" || fail "$c is not open"
  done
}
is_open() { field "$1" '.streams[0].state' | grep -qx Open; }

stop_up() {
  [ -n "$UP_PID" ] || return 0
  for f in "$D"/s/*/pid; do [ -f "$f" ] && kill -CONT "$(cat "$f")" 2>/dev/null; done
  kill "$UP_PID" 2>/dev/null
  wait "$UP_PID" 2>/dev/null
  UP_STATUS=$?
  UP_PID=
}

uri() { grep -m1 "^nbd.*/$1?" "$D/up.log"; }
pid_of() { cat "$D/s/$1/pid"; }
status() { dipole status --state "$D/s" --json; }

# control NODE JSON: one request to a node's control socket.
control() {
  python3 - "$D/s/$1/control.sock" "$2" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n")
print(s.makefile().readline(), end="")
PY
}
field() { control "$1" '{"cmd":"status"}' | jq -e -r "$2"; }

committed() { field "$1" '.streams[0] | .committed == .last' | grep -qx true; }

# All mirrors hold what the host sees.
same_everywhere() {
  local volume=$1 controller=$2
  wait_until 90 committed "$controller" || fail "not committed: $(field "$controller" .streams[0].links)"
  timeout 60 nbdcopy "$(uri "$volume")" "$D/view" || fail "the host cannot read the disk"
  local view
  view=$(dipole digest --file "$D/view" | grep -oE '[0-9a-f]{32}')
  dipole digest "$volume" --state "$D/s" --timeout 60s >"$D/digests" || fail "digests: $(cat "$D/digests")"
  local wrong
  wrong=$(grep -oE '[0-9a-f]{32}' "$D/digests" | grep -cvx "$view")
  [ "$wrong" = 0 ] || fail "mirrors differ from the host's view $view: $(cat "$D/digests")"
}

# fio_verify VOLUME MIB SECONDS-LIMIT [MORE...]
fio_verify() {
  local volume=$1 size=$2 limit=$3
  shift 3
  (cd "$D" && timeout "$limit" fio --name=verify --ioengine=nbd --uri="$(uri "$volume")" --rw=randwrite \
    --bsrange=512-1M --blockalign=512 --iodepth=16 --size="${size}M" --verify=crc32c --verify_fatal=1 \
    --do_verify=1 --serialize_overlap=1 "$@" >"$D/fio.log" 2>&1)
}

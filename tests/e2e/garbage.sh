#!/bin/bash
# Garbage sent to every listening port and socket harms nothing.
source "$(dirname "$0")/lib.sh"
up "$ROOT/deploy/examples/bipolar-cascade.yaml"
timeout 30 qemu-io -f raw "$(uri data)" -c 'write -P 1 0 4M' >/dev/null || fail "write"
before=$(cat "$D"/s/*/pid | sort | tr '\n' ' ')
python3 - "$D/s" <<'PY' || fail "the sender of garbage failed"
import glob, os, random, re, socket, sys
random.seed(7)
targets = [("127.0.0.1", int(p)) for p in re.findall(r"tcp://127.0.0.1:(\d+)", open(sys.argv[1] + "/topology.yaml").read())]
targets += glob.glob(sys.argv[1] + "/*/host.sock") + glob.glob(sys.argv[1] + "/*/control.sock")
starts = [b"", b"DPL1\x01\x00\x04\x00" + b"\xff" * 48, b"\xff" + b"\0" * 8 + b"\x7f\x03\x00NULL" + b"\0" * 48, b'{"cmd":', b'{"cmd":"mark","volume":[]}\n']
for target in targets:
    for start in starts:
        s = socket.socket(socket.AF_INET if isinstance(target, tuple) else socket.AF_UNIX)
        s.settimeout(2)
        try:
            s.connect(target)
            s.sendall(start + random.randbytes(random.randrange(1, 200000)))
            s.recv(100)
        except OSError:
            pass
        s.close()
PY
[ "$before" = "$(cat "$D"/s/*/pid | sort | tr '\n' ' ')" ] || fail "a daemon died"
timeout 30 qemu-io -f raw "$(uri data)" -c 'read -P 1 0 4M' -c 'write -P 2 1M 1M' >"$D/out" || fail "$(cat "$D/out")"
same_everywhere data nwk
pass

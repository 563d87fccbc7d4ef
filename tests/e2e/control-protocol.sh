#!/bin/bash
# SPDX-License-Identifier: MIT
# docs/control-protocol.md has every member of the status document, with its type, and no other; what
# is no request gets a clear error.
. "$(dirname "$0")/lib.sh"

up "$EXAMPLES/bipolar-cascade.yaml"
kill -KILL "$(cat "$S/west/pid")" # makes an alarm
wait_until 20 is west '.alarm_count > 0' || fail "no alarm"
wait_until 20 is west '.upstream.state == "Connected"' || fail "west does not come back"

python3 - "$S" "$ROOT/docs/control-protocol.md" <<'P' || fail "the page and the nodes differ"
import json, re, socket, sys
state, page = sys.argv[1:]
TYPES = {'int': 'integer', 'str': 'text', 'bool': 'boolean', 'list': 'list', 'dict': 'object'}
LATENCY = {'count', 'sum_us', 'p50_us', 'p99_us', 'max_us'}
wrong = []

def ask(node, line):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(f'{state}/{node}/control.sock')
    s.sendall(line.encode() + b'\n')
    return json.loads(s.makefile().readline())

def members(value, path, out):
    if isinstance(value, dict) and set(value) == LATENCY:
        out.setdefault(path, set()).add('latency')
        return
    if isinstance(value, list):
        path += '[]'
        out.setdefault(path, set()).add('list')
        for v in value:
            members(v, path, out) if isinstance(v, dict) else wrong.append(f'{path}: not an object')
        return
    if path:
        out.setdefault(path, set()).add('null' if value is None else TYPES[type(value).__name__])
    if isinstance(value, dict):
        for k, v in value.items():
            inside = path if path.endswith('[]') else path
            members(v, f'{inside}.{k}' if inside else k, out)

text = open(page).read()
written = {m[1]: (m[2], bool(m[3])) for m in
           re.finditer(r'^\| `([\w.\[\]]+)` \| (\w+)( \?)? \|', text.split('## The status document')[1].split('## State words')[0], re.M)}
assert len(written) > 80, len(written)
seen = {}
for node in ('nwk', 'relay-west', 'west'):
    here = {}
    members(ask(node, '{"cmd": "status", "api": 1}'), '', here)
    for path, types in here.items():
        seen.setdefault(path, set()).update(types)
    for path, (kind, may_miss) in written.items():
        if path not in here and not may_miss and not path.startswith(('connections[].', 'streams[].links[].')):
            wrong.append(f'{node}: {path} is missing, and the page does not say that it may be')
for path, types in sorted(seen.items()):
    plain = {t for t in types if t not in ('object', 'null')}
    if path not in written:
        if plain or 'null' in types:
            wrong.append(f'{path} is not on the page')
        continue
    kind, may_miss = written[path]
    if plain and plain != {kind}:
        wrong.append(f'{path} is {plain}, the page says {kind}')
    if 'null' in types and not may_miss:
        wrong.append(f'{path} may be null, and the page does not say so')
for path, (kind, may_miss) in written.items():
    if path not in seen and not may_miss:
        wrong.append(f'{path} is on the page, and no node has it')

requests = set(re.findall(r'^\| `(\w+)` \| (?:peer|observe|operate|administer) \|', text, re.M))
source = set(re.findall(r'\{"(\w+)", DP_RIGHTS_', open(page.rsplit('/docs/', 1)[0] + '/common/node/control.c').read()))
if requests != source:
    wrong.append(f'requests: page {sorted(requests)}, node {sorted(source)}')
for line, says in (('{"cmd": "nonsense"}', 'unknown command'), ('{}', '"cmd"'), ('[1]', '"cmd"'),
                   ('{"cmd": "status", "api": 99}', 'version 99'), ('{"cmd": "digest"}', '"mark" is missing'),
                   ('{"cmd": "sets", "stream": 7}', 'no such stream'), ('{"cmd": "apply"}', '"topology" is missing'),
                   ('{"cmd": "leg", "stream": "orders", "leg": "west", "order": "fly"}', '"order" must be')):
    answer = ask('nwk', line)
    if answer.get('ok') or says not in answer.get('error', ''):
        wrong.append(f'{line}: {answer}')
print('\n'.join(wrong))
sys.exit(bool(wrong))
P
pass

#!/bin/bash
# SPDX-License-Identifier: MIT
# A scan of wrong topologies: each value of a file that runs is spoilt in turn, each key is misspelt, given twice and
# left out. `topology check`, `render` and `apply` say where and what, end with 78, and change nothing.
. "$(dirname "$0")/lib.sh"
up "$EXAMPLES/bipolar-cascade.yaml"
before=$(md5sum <"$S/topology.yaml") logs=$(cat "$S"/*/log | grep -c reload)

cat >"$D/scan.py" <<'P'
import os, re, shutil, subprocess, sys
dipole, state, scratch = sys.argv[1:]
lines = open(state + '/topology.yaml').read().splitlines(keepends=True)
wrong, tried, optional = [], 0, set()
# A file without one of these says something else, and is right.
OPTIONAL = '''at listen metrics control key former-key journal retain second-store distance round-trip bandwidth trusted window rate
 send compress connections heartbeat interval down-after probation ack stage flush when-leg-down keep-serving local size
 high-water when-full resync-rate seal read-cache skip-unchanged'''.split()

def run(*command):
    r = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return r.returncode, r.stdout + r.stderr

def attempt(what, text, must_fail=True):
    global tried
    path = scratch + '/wrong.yaml'
    open(path, 'w').write(text)
    code, said = run(dipole, 'topology', 'check', path)
    if code == 0 and not must_fail:
        return
    out = scratch + '/rendered'
    for name, (code, said) in (('check', (code, said)),
            ('render', run(dipole, 'render', path, '--target', 'compose', '--out', out)),
            ('apply', run(dipole, 'apply', path, '--state', state))):
        tried += 1
        if code != 78:
            wrong.append(f'{name}: status {code} for {what}: {said[:300]}')
        elif not re.search(r'^' + re.escape(path) + r':\d+:\d+: \S+: .*(expected|unknown|given twice|missing|same)', said, re.M):
            wrong.append(f'{name}: no place or reason for {what}: {said[:300]}')
    if os.path.exists(out):
        shutil.rmtree(out)
        wrong.append(f'render writes something for {what}')

for i, line in enumerate(lines):
    def with_line(*new):
        return ''.join(lines[:i]) + ''.join(new) + ''.join(lines[i + 1:])
    for m in re.finditer(r'([a-z-]+): (?=[^\s{\[])([^,}\n]+)', line):
        for value in ('"?!"', '[]', '{}', '""', '-1', '9' * 41, 'a' * 100):
            spoilt = line[:m.start(2)] + value + line[m.end(2):]
            free = m.group(1) == 'name' and value == '9' * 41  # a name may be digits
            if not free:
                attempt(f'{m.group(1)} = {value} in line {i + 1}', with_line(spoilt))
    for m in re.finditer(r'(?<![\w-])([a-z][a-z0-9-]*):(?=[ \n])', line):
        key = m.group(1)
        if i and re.match(r'^  [a-z0-9-]+:', line) and m.start() == 2 or re.match(r'^      [a-z]', line):
            continue  # a name of ours
        attempt(f'{key} misspelt in line {i + 1}', with_line(line[:m.start()] + 'x' + line[m.start():]))
    m = re.match(r'^( *)([a-z-]+): [^\s{\[]', line)
    if m:
        attempt(f'{m.group(2)} twice', with_line(line, line))
        attempt(f'without {m.group(2)} of line {i + 1}', with_line(), m.group(2) not in OPTIONAL)
    attempt(f'a tab in line {i + 1}', with_line('\t' + line), line.strip() != '' and not line.startswith(' ' * 6))
for what, text in (('nothing', ''), ('no YAML', '{'), ('zeros', '\0' * 100), ('a list', '- a\n'), ('another version', 'dipole: 2\n'),
        ('half of it', ''.join(lines[:len(lines) // 2]))):
    attempt(what, text)
print('\n'.join(wrong[:20]))
print(f'{tried} attempts, {len(wrong)} wrong')
sys.exit(len(wrong) > 0 or tried < 500)
P
bounded 600 python3 "$D/scan.py" "$BUILD/controller/cli/dipole" "$S" "$D" || fail "a wrong file is taken, or not explained"
[ "$(md5sum <"$S/topology.yaml")" = "$before" ] || fail "the file was changed"
[ "$(cat "$S"/*/log | grep -c reload)" = "$logs" ] || fail "a node was troubled with a wrong file"
all_open || fail "something was changed"
pass

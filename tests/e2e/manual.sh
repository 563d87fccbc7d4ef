#!/bin/bash
# SPDX-License-Identifier: MIT
# The manuals and --help name the same commands and options, and so does the completion.
. "$(dirname "$0")/lib.sh"

python3 - "$ROOT" "$BUILD" <<'P' || fail "manuals and --help differ"
import re, subprocess, sys
root, build = sys.argv[1:]
wrong = []

def help_of(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout

def options(text):
    return set(re.findall(r'(?<![\w-])--([a-z][a-z-]*)', text)) - {'help', 'version'}

def flags(text):
    return set(re.findall(r'Fl \\-([a-z][a-z-]*)', text.replace('\\-', '-').replace('Fl -', 'Fl \\-'))) - {'help', 'version'}

def compare(what, said, written):
    for o in sorted(said - written):
        wrong.append(f'{what}: --{o} is not in the manual')
    for o in sorted(written - said):
        wrong.append(f'{what}: the manual has --{o}, --help has not')

dipole = build + '/controller/cli/dipole'
page = open(root + '/controller/cli/dipole.1').read()
synopsis, rest = page.split('.Sh DESCRIPTION', 1)
sections = {}
for name, text in re.findall(r'^\.Ss ([^\n]*)\n(.*?)(?=^\.S[sh] )', rest, re.M | re.S):
    sections[name] = text
names = {one: name for name in sections for one in name.split(', ')}
completion = open(root + '/controller/cli/dipole.bash-completion').read()
commands = re.findall(r'^  (\w+(?: \w+)?) {2,}', help_of(dipole, '--help'), re.M)
assert len(commands) > 15, commands
groups = {}
for c in commands:
    groups.setdefault(names.get(c) or names.get(c.split()[0]) or c, []).append(c)
for section, of in groups.items():
    if section not in sections:
        wrong.append(f'{section}: has no section in the manual')
        continue
    said = set()
    for c in of:
        said |= options(help_of(dipole, *c.split(), '--help').split('Options:')[1])
    written = flags(sections[section])
    if section in ('volumes', 'links'):  # as under status
        written |= flags(sections['status'])
    compare('dipole ' + section, said - {'state', 'json'}, written - {'state', 'json'})
    for c in of:
        if not re.search(r'\b' + c.split()[0] + r'\b', synopsis):
            wrong.append(f'{c}: is not in the synopsis')
    for o in said:
        if '--' + o not in completion:
            wrong.append(f'{section}: the completion has no --{o}')
for c in commands:
    if not re.search(r'\b' + c.split()[0] + r'\b', completion):
        wrong.append(f'{c}: is not in the completion')
for section in sections:
    if section not in groups:
        wrong.append(f'{section}: in the manual, and no command')

for program, path in (('dipole-controller', 'controller'), ('dipole-relay', 'relay'), ('dipole-mirrord', 'mirrord')):
    said = options(help_of(f'{build}/{path}/{program}', '--help'))
    compare(program, said, flags(open(f'{root}/{path}/{program}.8').read()))

keys = set(re.findall(r'^\t*\{"([a-z-]+)", DP_(?:OPTIONAL|REQUIRED)', open(root + '/topology/schema.c').read(), re.M))
text = open(root + '/topology/dipole-topology.5').read()
assert len(keys) > 40, keys
for k in sorted(keys):
    if not re.search(r'(?<![\w-])' + k + r'(?![\w-])', text):
        wrong.append(f'dipole-topology(5) does not have {k}')
# Each alarm of alarms.def has its row in operations.md, with its text.
alarms = re.findall(r'ALARM\((\w+), "[^"]*", \w+, \w+,\s*"((?:[^"\\]|\\.)*)"', open(root + '/common/engine/alarms.def').read())
pages = open(root + '/docs/operations.md').read()
assert len(alarms) > 25, alarms
for name, text in alarms:
    if '| ' + text + ' |' not in pages:
        wrong.append(f'operations.md has no row for the alarm {name}: "{text}"')
# What a log or an alarm says that operations.md explains is what the code says.
said = ''
for name in ('common/node/node.c', 'common/node/aside.c'):
    said += re.sub(r'"\s*"', '', open(f'{root}/{name}').read())
table = open(root + '/docs/operations.md').read().split('## A node that does not start')[1].split('\n## ')[0]
reasons = re.findall(r'^\| ([a-z][^|]*?) \| [^|]*\|$', table, re.M)
assert len(reasons) > 10, reasons
for reason in reasons[1:]:
    if reason not in said:
        wrong.append(f'no node says: {reason}')
print('\n'.join(wrong))
sys.exit(len(wrong) > 0)
P

# Files that the documents name exist, and so do the sections that they link to.
python3 - "$ROOT" <<'P' || fail "a document names something that does not exist"
import glob, os, re, sys
root = sys.argv[1]
wrong = []

def prose(path):
    return re.sub(r'^```.*?^```', '', open(path).read(), flags=re.M | re.S)

def anchors(path):
    titles = re.findall(r'^#+ (.*)$', prose(path), re.M)
    return {re.sub(r'[^a-z0-9 _-]', '', t.lower()).replace(' ', '-') for t in titles}

for doc in [root + '/README.md'] + sorted(glob.glob(root + '/docs/*.md')):
    text, name = prose(doc), os.path.basename(doc)
    for path in re.findall(r'`((?:common|controller|deploy|mirrord|relay|tests|topology)/[\w./-]*\.\w+)`', text):
        if 'NAME' not in path and not os.path.exists(f'{root}/{path}'):
            wrong.append(f'{name}: no file {path}')
    for path, anchor in re.findall(r'\]\(([\w./-]*)(?:#([\w-]+))?\)', text):
        target = os.path.join(os.path.dirname(doc), path) if path else doc
        if not os.path.exists(target):
            wrong.append(f'{name}: no file {path}')
        elif anchor and anchor not in anchors(target):
            wrong.append(f'{name}: no section {path}#{anchor}')
print('\n'.join(wrong))
sys.exit(len(wrong) > 0)
P

# What the documents show as a topology is one.
for doc in "$ROOT"/README.md "$ROOT"/docs/*.md; do
  python3 - "$doc" "$D" <<'P'
import re, sys
for i, block in enumerate(re.findall(r'^```yaml\n(dipole: 1\n.*?)^```', open(sys.argv[1]).read(), re.M | re.S)):
    open(f'{sys.argv[2]}/{sys.argv[1].split("/")[-1]}.{i}.yaml', 'w').write(re.sub(r', key: "\.\.\."', '', block))  # keys are for the reader to put in
P
done
count=0
for file in "$D"/*.yaml; do
  dipole topology check "$file" >"$D/out" 2>&1 || fail "a topology in a document is wrong: $(cat "$D/out")"
  count=$((count + 1))
done
[ "$count" -ge 2 ] || fail "$count topologies in the documents"
pass

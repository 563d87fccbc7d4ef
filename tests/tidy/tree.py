# SPDX-License-Identifier: MIT
"""What the gates know of the tree: its files, its C code, the exceptions, and how to report.

A gate runs in the root of the tree. It prints each finding as FILE:LINE: TEXT and exits 1 if there
was one.
"""
import collections
import concurrent.futures
import os
import re
import subprocess
import sys

PRODUCT = ('common', 'topology', 'controller', 'relay', 'mirrord')
RULES = 'tests/tidy'
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def files(*suffixes, under=()):
    """The files of the tree that git does not ignore, new ones too, below the folders `under`."""
    # Under CI the checkout may belong to another user than the one who runs this.
    listing = subprocess.run(
        ['git', '-c', 'safe.directory=*', 'ls-files', '-co', '--exclude-standard'],
        check=True, capture_output=True, text=True)
    return [path for path in sorted(set(listing.stdout.splitlines()))
            if path.endswith(suffixes or ('',)) and os.path.isfile(path) and
            (not under or path.startswith(tuple(f'{folder}/' for folder in under)))]


def read(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.read()


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1


def code_only(text):
    """The text with comments and literals blanked: every line and column stays where it is."""
    return TOKEN.sub(lambda m: re.sub(r'[^\n]', ' ', m.group()), text)


def literals(text):
    """(line, content) of each string literal. Literals that follow each other are one."""
    found, end = [], None
    for m in TOKEN.finditer(text):
        if not m.group().startswith('"'):
            continue
        if re.search(r'^[ \t]*#[ \t]*include[ \t]*$', text[:m.start()][-80:], re.M):
            continue
        content = m.group()[1:-1]
        if end is not None and not text[end:m.start()].strip():
            found[-1] = (found[-1][0], found[-1][1] + content)
        else:
            found.append((line_of(text, m.start()), content))
        end = m.end()
    return found


Function = collections.namedtuple('Function', 'name static first last body')


def functions(text):
    """The functions of a C file: the format of the tree puts their braces, and no others, alone
    into column 1. The name of a Criterion test is SUITE.NAME."""
    lines, found, first = code_only(text).split('\n'), [], None
    for i, line in enumerate(lines):
        if line.rstrip() == '{':
            start = first = i
            while first > 0 and re.match(r'[\w\s]*\w.*[^;}]$', lines[first - 1].rstrip()):
                first -= 1
            head = re.sub(r'__attribute__\s*\(\(.*?\)\)', '', ' '.join(lines[first:i]))
            name = re.search(r'(\w+)\s*\(\s*(?:(\w+), *(\w+))?', head)
        elif line.rstrip() == '}' and first is not None:
            is_test = name and name.group(1).endswith('Test')
            found.append(Function(
                f'{name.group(2)}.{name.group(3)}' if is_test else name.group(1) if name else '?',
                bool(re.match(r'static\b', head)), first + 1, i + 1, '\n'.join(lines[start:i])))
            first = None
    return found


def run(*command, **options):
    """Runs a tool and returns its output, stderr too, and its exit status."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors='replace', **options)
    except FileNotFoundError:
        print(f'scripts/install-deps:1: `{command[0]}` is not installed; run this script')
        sys.exit(1)
    return done.stdout, done.returncode


def run_on(sources, *command, after=()):
    """Runs a tool on the files, some at a time on each processor. Returns as run() does."""
    chunks = [sources[i:i + 8] for i in range(0, len(sources), 8)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda chunk: run(*command, *chunk, *after), chunks))
    return ''.join(output for output, _ in results), max([0] + [abs(s) for _, s in results])


class Gate:
    """Collects the findings of one gate and takes away what tests/tidy/exceptions lists."""

    def __init__(self, name):
        self.found, self.exceptions, self.used = [], {}, set()
        self.file = f'{RULES}/exceptions'
        for number, fields in table(self.file):
            if fields[0] == name and len(fields) > 2:
                self.exceptions[fields[1]] = number

    def finds(self, path, line, text, what=''):
        """`what` names a part of the file, for an exception FILE:WHAT."""
        for place in (path, f'{path}:{what}'):
            if place in self.exceptions:
                self.used.add(place)
                return
        self.found.append(f'{path}:{line}: {text}')

    def finds_all(self, output, status, found):
        """What a tool said: `found` are its findings as (file, line, text, what). A tool that
        failed and found nothing has not looked."""
        for path, line, text, what in found:
            self.finds(path, line, text, what)
        if status and not found:
            self.found.append(f'{RULES}:1: {" ".join(output.split())[-300:]}')

    def done(self, looked_at):
        """Prints and exits. A gate that looked at nothing has not passed."""
        if not looked_at:
            self.found.append(f'{RULES}:1: no file was looked at')
        for place, line in self.exceptions.items():
            if place not in self.used:
                self.found.append(f'{self.file}:{line}: {place} needs no exception any longer')
        print(*self.found, sep='\n', end='\n' if self.found else '')
        sys.exit(1 if self.found else 0)


def table(path):
    """(line, fields) of a file of rules: fields stand apart by blanks, `#` begins a comment."""
    rows = [(number, line.split('#')[0].split())
            for number, line in enumerate(read(path).split('\n'), 1)]
    return [row for row in rows if row[1]]


def ratchet(gate, path, counts):
    """Returns those of `counts` (what: how many) that are above what the file `path` allows. Fewer
    than it allows are a finding too, so that it shrinks; `scripts/check --lower` writes it down."""
    above, lines, lower = dict(counts), [], 'TIDY_LOWER' in os.environ
    for number, line in enumerate(read(path).splitlines(), 1):
        what, allowed = (line.split('#')[0].split() + ['', ''])[:2]
        now = counts.get(what, 0)
        if what and now <= int(allowed):
            above.pop(what, None)
        if what and now < int(allowed) and not lower:
            gate.finds(path, number, f'{what}: {now} now, not {allowed}: lower the number '
                       '(scripts/check --lower)')
        if what and now < int(allowed):
            line = f'{what} {now}' if now else None
        if line is not None:
            lines.append(line)
    if lower:
        with open(path, 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')
    return above

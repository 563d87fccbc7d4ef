# SPDX-License-Identifier: MIT
"""How the folders of the product hang together: a text to read, not a gate.

usage: report.py DIR        the root of a checkout

A file calls another one of its folder if a function of it names a function that the other defines.
This goes by names, not by types: a field or variable of that name counts too.
"""
import os
import re
import sys
from collections import defaultdict
from tree import PRODUCT, files, functions, read


def calls_between(sources):
    """{(caller, called): the names of the called functions}, for the files of one folder."""
    defined = {f.name: path for path, fs in sources.items() for f in fs if not f.static}
    calls = defaultdict(set)
    for path, fs in sources.items():
        own = {f.name for f in fs}
        for f in fs:
            for name in set(re.findall(r'\w+', f.body)) - own:
                if name in defined and defined[name] != path:
                    calls[path, defined[name]].add(name)
    return calls


def largest_ring(calls):
    """The largest set of files of which each reaches each other one."""
    reach = defaultdict(set)
    for caller, called in calls:
        reach[caller].add(called)
    changed = True
    while changed:
        changed = False
        for path in list(reach):
            more = set().union(*(reach.get(p, set()) for p in reach[path])) - reach[path]
            reach[path] |= more
            changed = changed or bool(more)
    rings = [{q for q in reach[p] if p in reach.get(q, ())} for p in reach]
    return max(rings, key=len, default=set())


def short(path):
    return os.path.basename(path).removesuffix('.c')


os.chdir(sys.argv[1])
folders, statics = defaultdict(dict), defaultdict(set)
for path in files('.c', under=PRODUCT):
    folders[os.path.dirname(path)][path] = functions(read(path))
for sources in folders.values():
    for path, fs in sources.items():
        for f in fs:
            if f.static:
                statics[f.name].add(path)

print(f'{"folder":<24}{"files":>6}{"lines":>7}{"calls":>7}{"circles":>9}{"ring":>6}'
      '  longest function')
circles = []
for folder, sources in sorted(folders.items()):
    calls = calls_between(sources)
    pairs = [(a, b) for a, b in calls if a < b and (b, a) in calls]
    circles += [(folder, a, b, len(calls[a, b]), len(calls[b, a])) for a, b in pairs]
    ring = largest_ring(calls)
    lines = sum(read(path).count('\n') for path in sources)
    length, name = max(((f.last - f.first + 1, f.name) for fs in sources.values() for f in fs),
                       default=(0, '-'))
    print(f'{folder:<24}{len(sources):>6}{lines:>7}{sum(map(len, calls.values())):>7}'
          f'{len(pairs):>9}{len(ring):>6}  {length:>3} {name}')
print("""
calls: names that one file defines and another one of the folder uses; circles: pairs of files that
call each other; ring: the most files of which each reaches each other one
""")
for folder, a, b, there, back in sorted(circles):
    print(f'{folder}: {short(a)} <-> {short(b)} ({there}, {back})')
doubled = [name for name, paths in statics.items() if len(paths) > 1]
print(f'\nstatic names in several files: {len(doubled)}')

#!/usr/bin/env python3
"""Compiles alone each header that no .cpp of the same name includes first: what it needs, it includes.

    lone_headers.py ROOT COMPILE_COMMANDS

Prints the lines of a suite. Syntax only, two at a time.
"""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

ROOT, COMMANDS = sys.argv[1:3]
FOLDERS = ("provider", "kube", "sandbox", "cache", "metrics")


def flags_by_folder():
    """folder -> include and define flags of one of its units."""
    flags = {}
    with open(COMMANDS, encoding="utf-8") as source:
        for unit in json.load(source):
            folder = os.path.relpath(unit["file"], ROOT).split(os.sep)[0]
            words = shlex.split(unit["command"])
            while words and "clang" not in os.path.basename(words[0]):
                words.pop(0)
            wanted = [w for w in words if re.match(r"-[DIWfs]|-isystem", w)]
            paths = [words[i + 1] for i, w in enumerate(words) if w == "-isystem"]
            wanted = [w for w in wanted if w != "-isystem"]
            flags[folder] = [words[0], *wanted, *(f"-isystem{p}" for p in paths)]
    return flags


def lone_headers():
    for folder in FOLDERS:
        for where, _, files in sorted(os.walk(os.path.join(ROOT, folder))):
            for name in sorted(files):
                if name.endswith(".h") and name[:-2] + ".cpp" not in files:
                    yield os.path.relpath(os.path.join(where, name), ROOT)


def check(header, flags):
    command = [*flags[header.split("/")[0]], "-fsyntax-only", "-x", "c++", "-"]
    result = subprocess.run(command, input=f'#include "{header}"\n', cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return header, result


def main():
    flags = flags_by_folder()
    failed = False
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for header, result in pool.map(lambda h: check(h, flags), lone_headers()):
            if result.returncode == 0:
                print(f"ok {header}")
            else:
                failed = True
                print(result.stdout)
                print(f"not ok {header} - {result.stdout.splitlines()[0] if result.stdout else 'failed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

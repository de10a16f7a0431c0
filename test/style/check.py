#!/usr/bin/env python3
"""Rules of the source tree that no compiler and no formatter knows, as a suite of tests.

Each check returns a list of complaints, "file:line: what". CONTRIBUTING.md has the rules' reasons.
"""

import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("provider", "kube", "sandbox", "cache", "metrics")
# Which folder may include from which; sandbox/os is the only part of sandbox open to cache.
EDGES = {
    "provider": ("provider", "kube", "sandbox", "cache", "metrics"),
    "kube": ("kube", "metrics"),
    "cache": ("cache", "metrics", "sandbox/os"),
    "sandbox": ("sandbox", "metrics"),
    "metrics": ("metrics",),
}
MAX_LINES = 800
# Headers that cost tens of seconds to compile: only behind pimpl, never in a header of ours.
DEAR = re.compile(r'#include [<"](boost/beast|boost/asio/ssl|cpprest/|pplx/|prometheus/|grpcpp/)')
WORDS = {
    re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"): "unfinished work belongs in an issue",
    re.compile(r"asio::detached"): "detached coroutines lose their errors: spawn into a group",
}
SLEEP = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\s*\(|[^\w.]sleep\s*\(")


def tracked():
    """Files that are or could be committed."""
    out = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    return [f for f in out.splitlines() if os.path.isfile(os.path.join(ROOT, f))]


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as source:
        return source.read()


FILES = tracked()
CPP = [f for f in FILES if f.endswith((".h", ".cpp"))]
PRODUCT = [f for f in CPP if f.split("/")[0] in FOLDERS]
HEADERS = [f for f in PRODUCT if f.endswith(".h")]


def folder_edges():
    """Folders include only what DESIGN's arrows allow."""
    bad = []
    for path in PRODUCT:
        allowed = EDGES[path.split("/")[0]]
        for number, line in enumerate(text(path).splitlines(), 1):
            match = re.match(r'\s*#include "([^"]+)"', line)
            if not match:
                continue
            target = match.group(1)
            if os.path.exists(os.path.join(ROOT, os.path.dirname(path), target)):
                bad.append(f"{path}:{number}: '{target}' is not named from the root of the tree")
            elif target.split("/")[0] in FOLDERS and not any(target.startswith(a + "/") for a in allowed):
                bad.append(f"{path}:{number}: may not include {target}")
    return bad


def warden_stands_alone():
    """The warden's own sources use nothing but libc and headers that need nothing else."""
    bad = []
    seen = [f for f in PRODUCT if f.startswith("sandbox/warden/")]
    queue = list(seen)
    while queue:
        path = queue.pop()
        for target in re.findall(r'#include "([^"]+)"', text(path)):
            if target not in seen and target in FILES:
                seen.append(target)
                queue.append(target)
    # Reaching the product's libraries from here is what would end the static, small program.
    for path in seen:
        for number, line in enumerate(text(path).splitlines(), 1):
            if re.match(r"#include <(absl|boost|spdlog|fmt|cpprest|yaml-cpp)/", line):
                bad.append(f"{path}:{number}: the warden may not depend on {line.split()[1]}")
    return bad


def file_sizes():
    """No god files."""
    bad = []
    for path in FILES:
        if path.endswith((".h", ".cpp", ".go", ".py", ".sh", ".c")):
            lines = text(path).count("\n")
            if lines > MAX_LINES:
                bad.append(f"{path}: {lines} lines, at most {MAX_LINES}")
    return bad


def headers_explained():
    """Every header opens with a comment on what it is, and has a guard."""
    bad = []
    for path in HEADERS:
        content = text(path)
        if not content.lstrip().startswith(("//", "/*")):
            bad.append(f"{path}: does not open with a comment")
        if "#pragma once" not in content:
            bad.append(f"{path}: no #pragma once")
    return bad


def own_header_first():
    """x.cpp includes x.h before all else, so that every build proves that x.h stands alone.

    Headers without a .cpp are compiled alone by `test/dev headers`.
    """
    bad = []
    for path in PRODUCT:
        header = path[:-4] + ".h"
        if path.endswith(".cpp") and header in HEADERS:
            first = re.search(r'#include [<"]([^>"]+)', text(path))
            if not first or first.group(1) != header:
                bad.append(f"{path}: does not include {header} first")
    return bad


def dear_headers():
    """Expensive libraries stay in .cpp files, or in headers that only a few .cpp files include."""
    bad = []
    for path in HEADERS:
        for number, line in enumerate(text(path).splitlines(), 1):
            if DEAR.match(line):
                users = [f for f in PRODUCT if f'#include "{path}"' in text(f)]
                if len(users) > 4 or any(f.endswith(".h") for f in users):
                    bad.append(f"{path}:{number}: {line.strip()} reaches {', '.join(users)}")
    return bad


def forbidden_words():
    """Things that do not belong in committed code."""
    bad = []
    for path in CPP:
        for number, line in enumerate(text(path).splitlines(), 1):
            for word, why in WORDS.items():
                if word.search(line):
                    bad.append(f"{path}:{number}: {why}")
    return bad


def no_sleeps():
    """Product code and unit tests wait for events, never for time to pass."""
    bad = []
    for path in CPP:
        for number, line in enumerate(text(path).splitlines(), 1):
            code = line.split("//")[0]
            code = re.sub(r'"(\\.|[^"\\])*"', '""', code)
            if SLEEP.search(code):
                bad.append(f"{path}:{number}: {line.strip()}")
    return bad


def no_machine_paths():
    """Nothing knows where one developer's tree, home folder or build lies."""
    here = re.compile(re.escape(ROOT) + r"/|/(root|home/[a-z]+)/(go|src|\.cache|\.config|\.local)/|/tmp/b-")
    bad = []
    for path in FILES:
        for number, line in enumerate(text(path).splitlines(), 1):
            if here.search(line) and path != "test/style/check.py":
                bad.append(f"{path}:{number}: {line.strip()[:100]}")
    return bad


def names():
    """Files are snake_case, and no folder is called util."""
    bad = []
    for path in FILES:
        if path.endswith((".h", ".cpp")) and not re.fullmatch(r"[a-z0-9_/.]+", path):
            bad.append(f"{path}: snake_case expected")
        if re.search(r"(^|/)(util|utils|misc|helpers)(/|\.)", path):
            bad.append(f"{path}: say what it is for")
    return bad


def folders_have_readmes():
    """A README.md of about a page in every folder of the product, in test and in deploy."""
    folders = {os.path.dirname(f) for f in PRODUCT} | {"test", "deploy"}
    return [f"{folder}/README.md is missing" for folder in sorted(folders)
            if f"{folder}/README.md" not in FILES]


def links():
    """Relative links of Markdown files lead somewhere."""
    bad = []
    for path in FILES:
        if not path.endswith(".md"):
            continue
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text(path)):
            if re.match(r"[a-z]+:", target):
                continue
            where = os.path.join(ROOT, os.path.dirname(path), target)
            if not os.path.exists(where):
                bad.append(f"{path}: link to {target}")
    return bad


def no_big_or_binary_files():
    """The tree holds sources only."""
    bad = []
    for path in FILES:
        full = os.path.join(ROOT, path)
        size = os.path.getsize(full)
        if size > 500_000 and not path.endswith("go.sum"):
            bad.append(f"{path}: {size} bytes")
        if "/corpus/" in path or "/testdata/" in path or "/golden/" in path:
            continue
        with open(full, "rb") as source:
            if b"\0" in source.read(8192):
                bad.append(f"{path}: a binary file")
    return bad


def scripts():
    """(bash and sh scripts, python scripts) by their first line."""
    shells, pythons = [], []
    for path in FILES:
        if path.endswith(".sh"):
            shells.append(path)
        elif path.endswith(".py"):
            pythons.append(path)
        elif "." not in os.path.basename(path) or path == ".ci/run":
            first = text(path).split("\n", 1)[0]
            if re.match(r"#!.*\b(ba)?sh\b", first):
                shells.append(path)
            elif re.match(r"#!.*python", first):
                pythons.append(path)
    return shells, pythons


def run(command, **keywords):
    """Complaints of a tool: its output lines when it fails."""
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False, **keywords)
    if result.returncode == 0:
        return []
    return [line for line in result.stdout.splitlines() if line.strip()] or ["failed silently"]


def shellcheck():
    """shellcheck has nothing to say."""
    return run(["shellcheck", "-x", "-f", "gcc", *scripts()[0]])


def scripts_strict():
    """bash scripts stop at the first error; libraries are sourced by such."""
    bad = []
    for path in scripts()[0]:
        content = text(path)
        if path == ".ci/run" or content.startswith("# shellcheck shell="):
            continue
        if not re.search(r"^set -e", content, re.M):
            bad.append(f"{path}: no set -e")
    return bad


def python_compiles():
    """Python files are syntactically right."""
    bad = []
    for path in scripts()[1]:
        try:
            compile(text(path), path, "exec")
        except SyntaxError as error:
            bad.append(f"{path}:{error.lineno}: {error.msg}")
    return bad


def go_format():
    """gofmt has nothing to change."""
    files = [f for f in FILES if f.endswith(".go")]
    if not files or not shutil.which("gofmt"):
        return None
    out = subprocess.run(["gofmt", "-l", *files], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                         check=False).stdout
    return out.splitlines()


def clang_format():
    """clang-format has nothing to change."""
    if not shutil.which("clang-format-19") or ".clang-format" not in FILES:
        return None
    bad = run(["clang-format-19", "--dry-run", "-Werror", *CPP])
    # One line a file is enough to say that `test/dev fmt` is to be run.
    files = sorted({line.split(":")[0] for line in bad if "error:" in line})
    return [f"{path}: not formatted" for path in files] or bad


CHECKS = (
    folder_edges, warden_stands_alone, file_sizes, headers_explained, dear_headers,
    own_header_first, forbidden_words, no_sleeps, no_machine_paths, names, folders_have_readmes, links, no_big_or_binary_files,
    shellcheck, scripts_strict, python_compiles, go_format, clang_format,
)


def main():
    wanted = sys.argv[1:]
    failed = False
    for check in CHECKS:
        name = check.__name__
        if wanted and name not in wanted:
            continue
        complaints = check()
        if complaints is None:
            print(f"skip {name} - its tool is not here")
        elif complaints:
            failed = True
            print("\n".join("  " + c for c in complaints))
            print(f"not ok {name} - {len(complaints)}: {complaints[0]}")
        else:
            print(f"ok {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""What a run of ginkgo says about each spec, from its JSON report."""

import json
import os
import re

GOOD = "passed"
# The states of ginkgo that are a failure of the spec, whatever ended it.
BAD = ("failed", "panicked", "timedout", "interrupted", "aborted")


class Result:
    """One spec that was chosen: its name, passed / failed / skipped, why, seconds, log's path."""

    def __init__(self, name, state, why, seconds, log=None):
        self.name, self.state, self.why, self.seconds, self.log = name, state, why, seconds, log

    def line(self):
        """As test/README.md wants it."""
        if self.state == "passed":
            return f"ok {self.name}"
        if self.state == "skipped":
            return f"skip {self.name} - {self.why}"
        return f"not ok {self.name} - {self.why}"


def read(path, logs):
    """Results of a report, in the order of their names; of what failed the log goes below `logs`."""
    with open(path, encoding="utf-8") as source:
        suites = json.load(source)
    results = []
    for suite in suites:
        for spec in suite.get("SpecReports") or []:
            result = _result(spec, logs)
            if result is not None:
                results.append(result)
    return sorted(results, key=lambda r: r.name)


def _result(spec, logs):
    failure = spec.get("Failure") or {}
    state, is_spec = spec["State"], spec["LeafNodeType"] == "It"
    if not is_spec and state not in BAD:
        return None
    if state == "skipped" and not failure.get("Message"):
        return None  # not chosen by the focus
    if state in ("pending", "invalid"):
        return None
    words = [*(spec.get("ContainerHierarchyTexts") or []), spec.get("LeafNodeText") or ""]
    name = " ".join(" ".join(words).split()) if is_spec else spec["LeafNodeType"]
    seconds = spec.get("RunTime", 0) / 1e9
    if state == GOOD:
        return Result(name, "passed", "", seconds)
    why = first_lines(failure.get("Message", "")) or state
    if state == "skipped":
        return Result(name, "skipped", why, seconds)
    return Result(name, "failed", why, seconds, _save(logs, name, spec, failure))


def first_lines(message, length=300):
    """The beginning of a failure's message in one line; the framework's dumps of objects left out."""
    kept = []
    for line in message.splitlines():
        line = line.strip()
        if not line or re.match(r"^(<\*?[\w.]+|\{|\}|s?: )", line):
            continue
        kept.append(line)
        if sum(map(len, kept)) > length:
            break
    return " ".join(" ".join(kept).split())[:length]


def _save(logs, name, spec, failure):
    os.makedirs(logs, exist_ok=True)
    short = re.sub(r"[^A-Za-z0-9]+", "-", re.sub(r"\[[^]]*\]", "", name)).strip("-")[:120]
    path = os.path.join(logs, f"{short}.log")
    where = failure.get("Location") or {}
    with open(path, "w", encoding="utf-8") as out:
        out.write(f"{name}\n\n{failure.get('Message', '')}\n"
                  f"at {where.get('FileName')}:{where.get('LineNumber')}\n"
                  f"{where.get('FullStackTrace', '')}\n\n"
                  f"{spec.get('CapturedGinkgoWriterOutput', '')}\n"
                  f"{spec.get('CapturedStdOutErr', '')}\n")
    return path


def summary(results):
    """The counts, and each failure with its log, as lines."""
    count = {s: sum(r.state == s for r in results) for s in ("passed", "failed", "skipped")}
    lines = [f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped"]
    for result in results:
        if result.state == "failed":
            lines.append(f"  {result.name}\n    {result.why}\n    {result.log}")
    return lines

#!/usr/bin/env python3
"""Turns one run of a Catch2 program into the lines of a suite: `ok NAME`, `not ok NAME - why`, `skip NAME - why`.

    catch_results.py PROGRAM [--timeout SECONDS]

Every test case that the program lists must have ended well. One that the program does not report,
because it crashed or hung before, is a failure like any other. The program's exit status counts too.
A test case that leaves something out says so by WARN("skipped: why"), which makes it a skip.
"""

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET


def listed(program):
    """Names of all test cases that run by default."""
    out = subprocess.run([program, "--list-test-names-only"], stdout=subprocess.PIPE, text=True,
                         check=False).stdout
    return [line.strip() for line in out.splitlines() if line.strip()]


def reported(path):
    """(name -> None or why it failed, name -> why skipped), element by element: the end may be missing."""
    results, skips = {}, {}
    parser = ET.XMLPullParser(events=("start", "end"))
    current, failures = None, []
    with open(path, "rb") as source:
        data = source.read()
    # Catch2 writes raw output of the program between elements; control characters are no XML.
    data = re.sub(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", b"?", data)
    try:
        parser.feed(data)
    except ET.ParseError:
        pass
    try:
        for event, element in parser.read_events():
            if event == "start" and element.tag == "TestCase":
                current, failures = element.get("name"), []
                results[current] = "ended inside this test case"
            elif event == "end" and element.tag in ("Expression", "Exception", "Failure",
                                                    "FatalErrorCondition"):
                if element.tag != "Expression" or element.get("success") != "true":
                    failures.append(describe(element))
            elif event == "end" and element.tag == "Warning":
                text = " ".join((element.text or "").split())
                if text.lower().startswith("skipped: "):
                    skips.setdefault(current, text[len("skipped: "):])
            elif event == "end" and element.tag == "OverallResult" and current is not None:
                good = element.get("success") == "true"
                results[current] = None if good else "; ".join(failures) or "failed"
    except ET.ParseError:
        pass
    return results, skips


def describe(element):
    where = f"{element.get('filename', '?')}:{element.get('line', '?')}"
    inner = element.findtext("Original") or element.text or ""
    expanded = element.findtext("Expanded") or ""
    text = " ".join(inner.split())
    if expanded and " ".join(expanded.split()) != text:
        text += " with " + " ".join(expanded.split())[:200]
    return f"{where}: {text[:300]}"


def main():
    program = sys.argv[1]
    limit = float(sys.argv[3]) if len(sys.argv) > 3 else 600
    names = listed(program)
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        try:
            status = subprocess.run([program, "-r", "xml", "-o", report.name], timeout=limit,
                                    check=False).returncode
        except subprocess.TimeoutExpired:
            status = f"none within {limit:.0f} s"
        results, skips = reported(report.name)
    bad = 0
    for name in names + [n for n in results if n not in names]:
        why = results.get(name, "did not run")
        if why is None and name in skips:
            print(f"skip {name} - {skips[name]}")
        elif why is None:
            print(f"ok {name}")
        else:
            bad += 1
            print(f"not ok {name} - {why}")
    if status != 0 and bad == 0:
        bad += 1
        print(f"not ok the program's exit - status {status} though every test case passed")
    if not names:
        bad += 1
        print("not ok test cases - the program lists none")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

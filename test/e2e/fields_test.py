#!/usr/bin/env python3
"""No field of PodSpec is silently ignored: the table in provider/README.md against the live API server's schema."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

README = os.path.join(harness.ROOT, "provider", "README.md")
PROGRAM = os.path.join(harness.ROOT, "test", "provider", "admission", "pod_fields.py")


def check(schema, readme):
    return subprocess.run([sys.executable, PROGRAM, "check", schema, readme], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=30, check=False)


def schema(env):
    """The OpenAPI document of the core API, as a file."""
    path = os.path.join(env.dir, "openapi.json")
    text = env.kubectl("get", "--raw", "/openapi/v3/api/v1")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def test_every_field_is_done_or_refused(env):
    result = check(schema(env), README)
    assert result.returncode == 0, result.stdout


def test_a_field_in_neither_list_is_found(env):
    shortened = os.path.join(env.dir, "README.md")
    with open(README, encoding="utf-8") as source, open(shortened, "w", encoding="utf-8") as out:
        out.writelines(line for line in source if not line.startswith("| `spec.hostPID`"))
    result = check(schema(env), shortened)
    assert result.returncode == 1 and "not in the table: spec.hostPID" in result.stdout, result.stdout


if __name__ == "__main__":
    harness.main()

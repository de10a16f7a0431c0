#!/usr/bin/env python3
"""exec_test.py once more, with an API server that speaks SPDY to the node (as all did before 1.37)."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import exec_test  # noqa: E402
from exec_test import harness  # noqa: E402


def over_spdy(function):
    def test(env):
        env.cluster("--apiserver-arg=--feature-gates=ExtendWebSocketsToKubelet=false")
        function(env)
    test.limit = getattr(function, "limit", 180)
    return test


for name, value in list(vars(exec_test).items()):
    if name.startswith("test_"):
        globals()[name] = over_spdy(value)

if __name__ == "__main__":
    harness.main()

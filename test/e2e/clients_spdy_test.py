#!/usr/bin/env python3
"""clients_test.py once more, with an API server that speaks SPDY to the node (as all did before 1.37)."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import clients_test  # noqa: E402
from clients_test import harness  # noqa: E402
from exec_spdy_test import over_spdy  # noqa: E402

for name, value in list(vars(clients_test).items()):
    if name.startswith("test_"):
        globals()[name] = over_spdy(value)

if __name__ == "__main__":
    harness.main()

"""Kubernetes' own end-to-end suite against one node, in an environment of test/e2e/lib."""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "test", "e2e", "lib")]
import harness  # noqa: E402
import report  # noqa: E402

WHOLE = r"\[sig-node\].*\[Conformance\]"
NEVER = r"\[Disruptive\]|\[Flaky\]"
# The suite's pods tolerate nothing: the node may have no taint.
NODE = {"registerWithTaints": []}


class Suite:
    """The suite's programs and images, ready to run against the cluster of `env`."""

    def __init__(self, env):
        self.env = env
        self.bin = harness.addon("conformance")
        images = harness.run(f"{HERE}/images", env.bin, self.bin, timeout=600).strip()
        _, url = env.start_registry("conformance-registry")
        harness.run(f"{env.bin}/images", "push", "--from", images, "--to", url, timeout=300)
        self.registry = url.split("//")[1]
        self.runs = 0

    def run(self, focus, skip=NEVER, procs=4, limit=60):
        """Runs the specs whose text matches `focus` and not `skip`; a list of report.Result.

        `limit` is in minutes: what runs then is ended and counts as failed."""
        self.runs += 1
        logs = os.path.join(self.env.logs, f"run{self.runs}")
        os.makedirs(logs)
        repositories = os.path.join(self.env.dir, "repositories.yaml")
        with open(repositories, "w", encoding="utf-8") as out:
            for name in ("promoterE2eRegistry", "gcRegistry", "dockerLibraryRegistry",
                         "gcEtcdRegistry"):
                out.write(f"{name}: {self.registry}\n")
        record = os.path.join(logs, "report.json")
        command = [
            f"{self.bin}/ginkgo", f"--procs={procs}", "--no-color", f"--timeout={limit}m",
            f"--output-dir={logs}", f"--json-report={os.path.basename(record)}",
            f"--focus={focus}",
            *([f"--skip={skip}"] if skip else []), f"{self.bin}/e2e.test", "--",
            f"--kubeconfig={self.env.cluster_dir}/admin.kubeconfig", "--provider=skeleton",
            f"--kubectl-path={self.env.bin}/kubectl", "--num-nodes=1",
        ]
        log = os.path.join(logs, "ginkgo.log")
        print(f"ginkgo's own log: {log}", flush=True)
        with open(log, "w", encoding="utf-8") as out:
            subprocess.run(command, cwd=self.env.dir, stdin=subprocess.DEVNULL, stdout=out,
                           stderr=out, check=False,
                           env={**os.environ, "KUBE_TEST_REPO_LIST": repositories,
                                # Its kubectl leaves temporary files behind.
                                "TMPDIR": self.env.dir})
        if not os.path.exists(record):
            with open(log, encoding="utf-8", errors="replace") as source:
                raise harness.CommandError(command, 1, "", source.read()[-1500:])
        return report.read(record, logs)


def selection():
    """The focus of the short selection: the specs of selection.txt by their full names."""
    with open(os.path.join(HERE, "selection.txt"), encoding="utf-8") as source:
        lines = [line.strip() for line in source]
    names = [line for line in lines if line and not line.startswith("#")]
    return names, "(" + "|".join(re.escape(name) for name in names) + ")$"

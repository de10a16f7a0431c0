#!/usr/bin/env python3
"""Traces of pod starts, taken by a receiver that knows OpenTelemetry's schema."""

import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402


class Sink:
    """otlpsink on a port of its own; its lines are spans."""

    def __init__(self, env):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.path = os.path.join(env.logs, "spans.txt")
        log = os.path.join(env.logs, "otlpsink.log")
        with open(self.path, "wb") as out, open(log, "wb") as err:
            self.process = subprocess.Popen([f"{env.bin}/otlpsink", f"127.0.0.1:{self.port}"],
                                            stdin=subprocess.PIPE, stdout=out, stderr=err)

    def spans(self):
        with open(self.path, encoding="utf-8") as lines:
            return [line.split() for line in lines]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def test_each_pod_start_is_a_trace_with_its_stages(env):
    sink = Sink(env)
    try:
        env.node(config={"tracing": {"endpoint": f"http://127.0.0.1:{sink.port}"}})
        env.apply(env.pod("one"), env.pod("two"))
        env.wait_ready("pod/one")
        env.wait_ready("pod/two")
        roots = harness.until(lambda: [s for s in sink.spans() if s[3] == "pod.start"][1:] and
                              [s for s in sink.spans() if s[3] == "pod.start"], 20, "two traces")
        for trace, span, _, _, start, end in roots:
            stages = [s for s in sink.spans() if s[0] == trace and s[3] != "pod.start"]
            assert {"pod.start.sandbox", "pod.start.started", "pod.start.ready"} <= {s[3] for s in stages}, stages
            for stage in stages:
                assert stage[2] == span and int(start) <= int(stage[4]) <= int(stage[5]) <= int(end), stage
    finally:
        sink.close()


def test_pods_start_whatever_the_collector_does(env):
    # Nobody listens there.
    node = env.node("n2", config={"tracing": {"endpoint": "http://127.0.0.1:1"}})
    pod = env.pod("three")
    pod["spec"]["nodeName"] = "n2"
    env.apply(pod)
    env.wait_ready("pod/three")
    harness.until(lambda: "Trace spans dropped" in node.log_tail(200), 30, "the loss is told")


if __name__ == "__main__":
    harness.main()

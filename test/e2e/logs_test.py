#!/usr/bin/env python3
"""Container logs over their whole life: rotation under writers and followers."""

import concurrent.futures
import gzip
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

CONFIG = {"containerLogMaxSize": "20Ki", "containerLogMaxFiles": 4, "containerLogMonitorInterval": "3s"}
# About 100 KiB in 10 s, then quiet.
WRITER = "i=0; while [ $i -lt 1000 ]; do echo line $i of a thousand, with something to make it long; " \
         "i=$((i+1)); [ $((i % 20)) = 0 ] && sleep 0.2; done; while :; do sleep 1; done"


def files(env, node, pod):
    uid = env.get(f"pod {pod}")["metadata"]["uid"]
    folder = os.path.join(node.logs_dir, f"{env.ns}_{pod}_{uid}", "main")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def lines(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as log:
        return [int(n) for n in re.findall(r" F line (\d+) ", log.read())]


def test_rotation_loses_nothing_to_a_follower_and_keeps_the_newest(env):
    node = env.node(config=CONFIG)
    env.apply(env.pod("writer", image="busybox:1", command=["sh", "-c", WRITER]))
    env.wait_ready("pod/writer")
    with subprocess.Popen([f"{env.bin}/kubectl", "--kubeconfig", f"{env.cluster_dir}/admin.kubeconfig", "-n", env.ns,
                           "logs", "-f", "writer"], stdout=subprocess.PIPE, text=True) as follow:
        seen = []
        for line in follow.stdout:
            seen.append(int(line.split()[1]))
            if seen[-1] == 999:
                break
        follow.terminate()
    assert seen == list(range(1000)), (len(seen), seen[:3])

    harness.until(lambda: len(files(env, node, "writer")) >= 3 and
                  any(name.endswith(".gz") for name in files(env, node, "writer")), 20, "a compressed log")
    names = files(env, node, "writer")
    assert len(names) <= 4, names
    assert all(re.fullmatch(r"0\.log(\.\d{8}-\d{6}(\.gz)?)?", os.path.basename(name)) for name in names), names
    # What is kept is one row without a gap, up to the last line.
    kept = sorted(n for name in names for n in lines(name))
    assert kept == list(range(kept[0], 1000)), kept

    # After an agent's restart the same files are rotated on, and all of them go with the pod.
    node.kill()
    node.start()
    folder = os.path.dirname(names[0])
    assert env.logs_of("writer", "--tail=1").startswith("line 999") or os.path.getsize(f"{folder}/0.log") == 0
    env.delete("pod writer", "--grace-period=0", "--force")
    harness.until(lambda: not os.path.exists(folder), 20, "the logs are gone")


def test_a_hundred_followers_of_one_log_get_all_of_it(env):
    node = env.node(config=CONFIG)
    script = "until [ -e /go ]; do sleep 0.1; done; i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"
    pod = env.pod("crowd", image="busybox:1", command=["sh", "-c", script], restartPolicy="Never")
    env.apply(pod)
    env.wait_ready("pod/crowd")
    path = f"/containerLogs/{env.ns}/crowd/main?follow=true"
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        followers = [pool.submit(node.get, path, timeout=90) for _ in range(100)]
        env.exec("crowd", "touch", "/go")
        expected = "".join(f"line {i}\n" for i in range(2000))
        for follower in followers:
            assert follower.result() == (200, expected)


if __name__ == "__main__":
    harness.main()

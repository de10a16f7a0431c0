#!/usr/bin/env python3
"""200 pods come and go, and the machine is as it was before."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import machine  # noqa: E402

PODS = 200


def traces(env, node):
    """Counts of what pods may leave behind. Pooled sandboxes are there before and after."""
    def entries(*path):
        folder = os.path.join(node.root_dir, *path)
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return {
        "processes": len(node.processes()),
        "mounts": len(machine.mounts_below(node.root_dir)),
        "cgroups": len(node.cgroup_folders()),
        "interfaces": len(machine.run("ip", "-o", "link").splitlines()),
        "routes": len(machine.run("ip", "route", "show", "table", "all").splitlines()),
        "network namespaces": len(machine.run("lsns", "-t", "net", "-n", "-o", "NS", check=False).splitlines()),
        "pod folders": entries("pods"),
        "sandbox folders": len(entries("sandboxes")),
        "log folders": sorted(os.listdir(node.logs_dir)) if os.path.isdir(node.logs_dir) else [],
        "open files": len(os.listdir(f"/proc/{node.pid}/fd")),
    }


def one_of_everything(env):
    """A pod with the volumes and the containers of ordinary life."""
    pod = env.pod("first", initContainers=[env.container("init", "busybox:1", command=["true"])],
                  volumes=[{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {"medium": "Memory"}}],
                  containers=[env.container(volumeMounts=[{"name": "a", "mountPath": "/a"},
                                                          {"name": "b", "mountPath": "/b"}])])
    return pod


@harness.limit(400)
def test_nothing_is_left_of_200_pods(env):
    node = env.node()
    env.apply(one_of_everything(env))
    env.wait_ready("pod/first")
    env.delete("pod first")
    # The first pod's removal behind the API (trash, pool refill) ends before counting.
    settled = []

    def still():
        settled.append(traces(env, node))
        return len(settled) > 10 and all(s == settled[-1] for s in settled[-10:])
    harness.until(still, 20, "the node is at rest")
    before = settled[-1]

    env.apply(env.deployment("many", replicas=PODS))
    env.kubectl("rollout", "status", "deployment/many", "--timeout=180s", timeout=200)
    during = traces(env, node)
    assert during["processes"] >= before["processes"] + PODS, during
    env.delete("deployment many")
    env.kubectl("wait", "pod", "-l", "app=many", "--for=delete", "--timeout=120s", timeout=150)

    def as_before():
        now = traces(env, node)
        # Descriptors: connections to the API server may come and go by a few.
        rest = {k: v for k, v in now.items() if k != "open files" and v != before[k]}
        return not rest and now["open files"] <= before["open files"] + 5
    try:
        harness.until(as_before, 30, "the traces are gone")
    except AssertionError:
        now = traces(env, node)
        raise AssertionError("left over: " + "; ".join(
            f"{k}: {before[k]} -> {now[k]}" for k in now if now[k] != before[k])) from None


@harness.limit(240)
def test_addresses_come_back(env):
    """More pods over time than the range has addresses."""
    node = env.node("n2", config={"podCIDR": "10.125.0.0/27"})
    spec = {"nodeName": node.name}
    for _ in range(3):
        env.apply(env.deployment("small", replicas=20, **spec))
        env.kubectl("rollout", "status", "deployment/small", "--timeout=60s")
        env.delete("deployment small")
        env.kubectl("wait", "pod", "-l", "app=small", "--for=delete", "--timeout=60s")


if __name__ == "__main__":
    harness.main()

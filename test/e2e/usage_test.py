#!/usr/bin/env python3
"""What pods use, as the Summary API and cadvisor's metrics tell it."""

import json
import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

FIXED_NAMES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixed-metric-names.txt")
MEBI = 1 << 20


def working_pod(env, name="worker"):
    """Writes 3 MiB to its own layer, 2 to an emptyDir, a little to its log, and keeps 20 of memory."""
    script = ("dd if=/dev/zero of=/layer bs=1M count=3; dd if=/dev/zero of=/cache/file bs=1M count=2; "
              "echo written; mkdir -p /m; dd if=/dev/zero of=/memory/file bs=1M count=20; "
              "while :; do sleep 0.05; done")
    env.apply(env.pod(name, containers=[
        env.container("work", "busybox:1", command=["sh", "-c", script],
                      resources={"limits": {"cpu": "500m", "memory": "64Mi"}},
                      volumeMounts=[{"name": "cache", "mountPath": "/cache"},
                                    {"name": "memory", "mountPath": "/memory"}]),
        env.container("rest")],
        volumes=[{"name": "cache", "emptyDir": {}},
                 {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "32Mi"}}]))
    env.wait_ready(f"pod/{name}")


def summary(node, query=""):
    status, text = node.get("/stats/summary" + query)
    assert status == 200, (status, text)
    return json.loads(text)


def pod_of(stats, env, name="worker"):
    found = [p for p in stats["pods"] if p["podRef"]["name"] == name and p["podRef"]["namespace"] == env.ns]
    return found[0] if found else None


def series(text, name, **labels):
    """Samples of a family as (labels, value) that have these labels."""
    found = []
    for line in text.splitlines():
        match = re.match(re.escape(name) + r"\{([^}]*)\} (\S+)", line)
        if match:
            mine = dict(re.findall(r'(\w+)="([^"]*)"', match.group(1)))
            if all(mine.get(key) == value for key, value in labels.items()):
                found.append((mine, float(match.group(2))))
    return found


@harness.limit(300)
def test_the_summary_tells_of_the_node_and_its_pods(env):
    node = env.node()
    working_pod(env)

    def measured():
        # Disks are measured beside the requests, and told by the next one.
        pod = pod_of(summary(node), env)
        whole = pod and pod["ephemeral-storage"].get("usedBytes", 0) >= 5 * MEBI
        return pod if whole else None
    pod = harness.until(measured, 150, "the pod's disk use is told")
    shown = env.get("pod worker")
    assert pod["podRef"] == {"name": "worker", "namespace": env.ns, "uid": shown["metadata"]["uid"]}, pod
    work = {c["name"]: c for c in pod["containers"]}["work"]
    assert {c["name"] for c in pod["containers"]} == {"work", "rest"}, pod
    assert 3 * MEBI <= work["rootfs"]["usedBytes"] < 5 * MEBI, work
    assert 0 < work["logs"]["usedBytes"] < MEBI, work
    assert 20 * MEBI <= work["memory"]["usageBytes"] < 64 * MEBI, work
    assert work["memory"]["availableBytes"] == 64 * MEBI - work["memory"]["workingSetBytes"], work
    assert 0 < work["cpu"]["usageNanoCores"] < 2_000_000_000 and work["cpu"]["usageCoreNanoSeconds"] > 0, work
    assert "availableBytes" not in {c["name"]: c for c in pod["containers"]}["rest"]["memory"], pod
    volumes = {v["name"]: v for v in pod["volume"]}
    assert 2 * MEBI <= volumes["cache"]["usedBytes"] < 3 * MEBI and volumes["cache"]["inodesUsed"] == 2, volumes
    assert 20 * MEBI <= volumes["memory"]["usedBytes"] < 21 * MEBI, volumes
    assert volumes["memory"]["capacityBytes"] == 32 * MEBI, volumes
    token = [v for name, v in volumes.items() if name.startswith("kube-api-access")]
    assert len(token) == 1 and token[0]["inodesUsed"] >= 4, volumes
    assert pod["process_stats"]["process_count"] >= 2, pod
    assert [i["name"] for i in pod["network"]["interfaces"]] == ["eth0"] and pod["network"]["name"] == "eth0", pod
    here = summary(node)["node"]
    assert here["nodeName"] == "n1", here
    assert {c["name"] for c in here["systemContainers"]} == {"kubelet", "pods"}, here
    assert here["fs"]["capacityBytes"] > here["fs"]["usedBytes"] > 0, here
    assert here["runtime"]["imageFs"]["usedBytes"] > 0, here
    assert here["rlimit"]["maxpid"] > here["rlimit"]["curproc"] > 0, here
    assert ("psi" in here["cpu"]) == os.path.exists("/proc/pressure/cpu"), here
    # Traffic of the pod is the pod's.
    before = pod_of(summary(node), env)["network"]["rxBytes"]
    env.exec("worker", "sh", "-c", "true", args=("-c", "work"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(3):
            out.sendto(b"x" * 1000, (env.pod_ip("worker"), 9))
    assert pod_of(summary(node), env)["network"]["rxBytes"] >= before + 3000
    small = summary(node, "?only_cpu_and_memory=true")
    pod = pod_of(small, env)
    assert set(pod) == {"podRef", "startTime", "containers", "cpu", "memory", "swap"}, pod
    assert "fs" not in small["node"] and "network" not in small["node"], small["node"]
    # A pod that is gone is not told of any more.
    env.delete("pod worker")
    assert pod_of(summary(node), env) is None


@harness.limit(240)
def test_cadvisor_rows_of_machine_pod_and_container(env):
    node = env.node()
    working_pod(env)
    status, text = node.get("/metrics/cadvisor")
    assert status == 200, text
    uid = env.get("pod worker")["metadata"]["uid"]
    state = env.get("pod worker")["status"]["containerStatuses"]
    container_id = [s["containerID"] for s in state if s["name"] == "work"][0].split("//")[1]
    mine = {"namespace": env.ns, "pod": "worker"}
    rows = {labels["container"]: labels for labels, _ in series(text, "container_memory_working_set_bytes", **mine)}
    assert set(rows) == {"", "work", "rest"}, rows
    assert rows["work"]["name"] == container_id and rows["work"]["id"].endswith(container_id), rows
    assert rows["work"]["image"].endswith("busybox:1") and rows[""]["image"] == "", rows
    assert rows[""]["id"] == f"{node.cgroup}/burstable/pod{uid}", rows
    assert len(series(text, "container_memory_usage_bytes", id="/")) == 1
    assert series(text, "container_cpu_usage_seconds_total", cpu="total", container="work", **mine)[0][1] > 0
    assert series(text, "container_spec_cpu_quota", container="work", **mine)[0][1] == 50000
    assert series(text, "container_spec_memory_limit_bytes", container="work", **mine)[0][1] == 64 * MEBI
    assert not series(text, "container_cpu_cfs_periods_total", container="rest", **mine)
    assert series(text, "container_cpu_cfs_periods_total", container="work", **mine)
    assert series(text, "container_network_receive_bytes_total", interface="eth0", container="", **mine)
    assert series(text, "container_processes", container="work", **mine)[0][1] >= 1
    assert series(text, "container_ulimits_soft", ulimit="max_open_files", container="work", **mine)[0][1] > 0
    assert float(re.search(r"^machine_cpu_cores\{[^}]*\} (\S+)$", text, re.M).group(1)) == os.cpu_count()


def test_promtool_finds_only_names_that_others_fixed(env):
    node = env.node()
    env.apply(env.pod("any", containers=[env.container("web", "busybox:1", command=["sleep", "1000"], readinessProbe={
        "exec": {"command": ["true"]}, "periodSeconds": 1})]))
    env.wait_ready("pod/any")
    assert node.get("/healthz") == (200, "ok")
    with open(FIXED_NAMES, encoding="ascii") as source:
        fixed = {line.strip() for line in source if line.strip() and not line.startswith("#")}
    for path in ("/metrics", "/metrics/resource", "/metrics/cadvisor", "/metrics/probes", "/metrics/slis"):
        text = node.get(path)[1]
        result = subprocess.run(["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
        complaints = [line for line in result.stdout.splitlines() if line.split(" ", 1)[0] not in fixed]
        assert not complaints, (path, complaints)
        families = re.findall(r"^# TYPE (\S+)", text, re.M)
        # Each family has its help and type, and none is torn apart.
        assert families and text.endswith("\n") and len(families) == len(set(families)), (path, families)
        assert set(families) == set(re.findall(r"^# HELP (\S+)", text, re.M)), path


@harness.limit(240)
def test_a_pod_writes_and_a_kill_of_the_agent_changes_no_figure(env):
    node = env.node()
    working_pod(env, "stays")
    before = pod_of(summary(node), env, "stays")["cpu"]["usageCoreNanoSeconds"]
    node.kill()
    node.start()
    after = harness.until(lambda: pod_of(summary(node), env, "stays"), 30, "the adopted pod is told of")
    assert after["cpu"]["usageCoreNanoSeconds"] >= before > 0, (before, after)
    assert {c["name"] for c in after["containers"]} == {"work", "rest"}, after


if __name__ == "__main__":
    harness.main()

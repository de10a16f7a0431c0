#!/usr/bin/env python3
"""In-place resize by kubectl, pod-level resources, disk limits: what containers see of their cgroups, what the API shows."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

MI = 1 << 20
SERVE = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
# What a container sees of its own cgroup, of either version: shares or weight, quota, memory limit.
SHOW = """if [ -e /sys/fs/cgroup/cpu.max ]; then
  cat /sys/fs/cgroup/cpu.weight; cut -d' ' -f1 /sys/fs/cgroup/cpu.max; cat /sys/fs/cgroup/memory.max
else
  cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes
fi"""


def sized(env, cpu, memory, name="main", **fields):
    """A container whose requests are its limits."""
    size = {"cpu": cpu, "memory": memory}
    fields.setdefault("resources", {"requests": size, "limits": dict(size)})
    return env.container(name, image="busybox:1", command=SERVE, **fields)


def pod_of(env, name, *containers, **spec):
    return env.pod(name, containers=list(containers), **spec)


def resize(env, pod, cpu=None, memory=None, container="main", requests=True):
    size = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    resources = {"limits": size, **({"requests": size} if requests else {})}
    env.kubectl("patch", "pod", pod, "--subresource", "resize", "-p",
                json.dumps({"spec": {"containers": [{"name": container, "resources": resources}]}}))


def shown(env, pod, container="main"):
    """(weight or shares, quota in us, memory limit) as the container reads them."""
    return [int(n) for n in env.exec(pod, "sh", "-c", SHOW, args=("-c", container)).split()]


def status_of(pod, container="main"):
    return next(s for s in pod["status"]["containerStatuses"] if s["name"] == container)


def condition(pod, kind):
    return next((c for c in pod["status"].get("conditions", []) if c["type"] == kind), None)


def done(env, name, cpu, container="main"):
    """Waits until the resize to that CPU has been done and told."""
    def resized(pod):
        return (pod["status"].get("observedGeneration") == pod["metadata"]["generation"]
                and not condition(pod, "PodResizePending") and not condition(pod, "PodResizeInProgress")
                and status_of(pod, container)["resources"]["requests"]["cpu"] == cpu)
    return env.wait_for(f"pods/{name}", resized)


def pod_cgroup(env, pod, file):
    """Contents of a file of the pod's own cgroup, from outside."""
    node, uid = env.node(), pod["metadata"]["uid"]
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    controllers = [""] if unified else os.listdir("/sys/fs/cgroup")
    for controller in controllers:
        for qos in ("", "/burstable", "/besteffort"):
            path = f"/sys/fs/cgroup/{controller}{node.cgroup}{qos}/pod{uid}/{file}"
            if os.path.exists(path):
                with open(path, encoding="ascii") as source:
                    return source.read().strip()
    raise AssertionError(f"no {file} of pod {uid}")


def memory_file():
    v2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    return "memory.max" if v2 else "memory.limit_in_bytes"


def test_grows_and_shrinks_while_it_runs(env):
    env.node()
    env.apply(pod_of(env, "grow", sized(env, "100m", "64Mi"), sized(env, "100m", "64Mi", "other")))
    env.wait_ready("pod/grow")
    before = env.get("pod grow")
    small = shown(env, "grow")
    resize(env, "grow", "300m", "128Mi")
    pod = done(env, "grow", "300m")
    large = shown(env, "grow")
    assert large[0] > small[0] and large[1:] == [30000, 128 * MI], (small, large)
    assert pod_cgroup(env, pod, memory_file()) == str(192 * MI)
    status = status_of(pod)
    assert status["allocatedResources"] == {"cpu": "300m", "memory": "128Mi"}, status
    assert status["resources"]["limits"] == {"cpu": "300m", "memory": "128Mi"}, status
    assert pod["status"]["resources"]["limits"] == {"cpu": "400m", "memory": "192Mi"}, pod["status"]["resources"]
    resize(env, "grow", "50m", "32Mi")
    pod = done(env, "grow", "50m")
    assert shown(env, "grow")[1:] == [5000, 32 * MI]
    assert pod_cgroup(env, pod, memory_file()) == str(96 * MI)
    assert status_of(pod)["containerID"] == status_of(before)["containerID"]
    assert status_of(pod)["restartCount"] == 0 and shown(env, "grow", "other")[1:] == [10000, 64 * MI]
    reasons = [reason for reason, _ in env.events("grow")]
    assert "ResizeStarted" in reasons and "ResizeCompleted" in reasons, reasons


def test_policy_restarts_the_container(env):
    env.node()
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    env.apply(pod_of(env, "again", sized(env, "100m", "64Mi", resizePolicy=policy), sized(env, "100m", "64Mi", "other"),
                     restartPolicy="OnFailure"))
    env.wait_ready("pod/again")
    resize(env, "again", "200m", "64Mi")
    assert status_of(done(env, "again", "200m"))["restartCount"] == 0
    # It ends with 0 at SIGTERM, which OnFailure alone would leave at that.
    resize(env, "again", "200m", "96Mi")
    pod = env.wait_for("pods/again", lambda p: status_of(p)["restartCount"] == 1 and "running" in status_of(p)["state"]
                       and not condition(p, "PodResizeInProgress"))
    assert shown(env, "again")[2] == 96 * MI and status_of(pod, "other")["restartCount"] == 0
    assert pod_cgroup(env, pod, memory_file()) == str(160 * MI)
    assert any("resize requires restart" in message for _, message in env.events("again"))


def test_memory_in_use_is_not_taken(env):
    env.node()
    fill = ["sh", "-c", "dd if=/dev/zero of=/dev/shm/fill bs=1M count=24; touch /dev/shm/ready; sleep 1000"]
    container = sized(env, "100m", "64Mi")
    container["command"] = fill
    container["readinessProbe"] = {"exec": {"command": ["test", "-e", "/dev/shm/ready"]}, "periodSeconds": 1}
    env.apply(pod_of(env, "full", container))
    env.wait_ready("pod/full")
    resize(env, "full", "100m", "16Mi")
    pod = env.wait_for("pods/full", lambda p: (condition(p, "PodResizeInProgress") or {}).get("reason") == "Error")
    told = condition(pod, "PodResizeInProgress")
    assert "below current usage" in told["message"] and told["observedGeneration"] == 2, told
    assert status_of(pod)["resources"]["limits"]["memory"] == "64Mi" and shown(env, "full")[2] == 64 * MI
    assert status_of(pod)["allocatedResources"]["memory"] == "16Mi", status_of(pod)
    resize(env, "full", "110m", "64Mi")
    assert status_of(done(env, "full", "110m"))["restartCount"] == 0
    assert "ResizeError" in [reason for reason, _ in env.events("full")]


def test_waits_for_room_and_survives_the_agent(env):
    node = env.node()
    cores = int(env.get("node n1")["status"]["allocatable"]["cpu"])
    env.apply(pod_of(env, "filler", sized(env, f"{cores * 1000 - 600}m", "64Mi")),
              pod_of(env, "hungry", sized(env, "100m", "64Mi")))
    env.wait_ready("pod/filler pod/hungry")
    resize(env, "hungry", "200m", "96Mi")
    before = done(env, "hungry", "200m")
    resize(env, "hungry", "900m", "96Mi")
    pod = env.wait_for("pods/hungry", lambda p: condition(p, "PodResizePending"))
    pending = condition(pod, "PodResizePending")
    assert pending["reason"] == "Deferred" and "enough resource: cpu, requested: 900" in pending["message"], pending
    assert shown(env, "hungry")[1] == 20000
    # The next agent knows what it had given, and that more is wanted.
    node.restart()
    pod = env.wait_for("pods/hungry", lambda p: condition(p, "PodResizePending"))
    assert shown(env, "hungry")[1:] == [20000, 96 * MI]
    assert status_of(pod)["allocatedResources"] == {"cpu": "200m", "memory": "96Mi"}, status_of(pod)
    env.delete("pod filler")
    pod = done(env, "hungry", "900m")
    assert shown(env, "hungry")[1] == 90000
    assert status_of(pod)["containerID"] == status_of(before)["containerID"]
    reasons = [reason for reason, _ in env.events("hungry")]
    assert "ResizeDeferred" in reasons, reasons


def test_a_resize_while_no_agent_runs(env):
    node = env.node()
    env.apply(pod_of(env, "alone", sized(env, "100m", "64Mi")))
    env.wait_ready("pod/alone")
    node.kill()
    resize(env, "alone", "150m", "80Mi")
    node.start()
    pod = done(env, "alone", "150m")
    assert shown(env, "alone")[1:] == [15000, 80 * MI] and status_of(pod)["restartCount"] == 0


def test_sidecar_is_resized(env):
    env.node()
    sidecar = sized(env, "100m", "64Mi", "side", restartPolicy="Always")
    env.apply(pod_of(env, "two", sized(env, "100m", "64Mi"), initContainers=[sidecar]))
    env.wait_ready("pod/two")
    size = {"cpu": "150m", "memory": "96Mi"}
    env.kubectl("patch", "pod", "two", "--subresource", "resize", "-p", json.dumps(
        {"spec": {"initContainers": [{"name": "side", "resources": {"requests": size, "limits": size}}]}}))
    pod = env.wait_for("pods/two", lambda p: p["status"]["initContainerStatuses"][0]["resources"]["limits"] == size
                       and not condition(p, "PodResizeInProgress"))
    assert shown(env, "two", "side")[1:] == [15000, 96 * MI]
    assert pod["status"]["initContainerStatuses"][0]["restartCount"] == 0


def test_init_container_is_resized(env):
    env.node()
    wait = sized(env, "100m", "64Mi", "init")
    wait["command"] = ["sh", "-c", "while [ ! -e /go ]; do sleep 0.2; done"]
    env.apply(pod_of(env, "first", sized(env, "100m", "64Mi"), initContainers=[wait]))
    env.wait_for("pods/first", lambda p: "running" in (p["status"].get("initContainerStatuses") or [{"state": {}}])[0]["state"])
    size = {"cpu": "150m", "memory": "96Mi"}
    env.kubectl("patch", "pod", "first", "--subresource", "resize", "-p", json.dumps(
        {"spec": {"initContainers": [{"name": "init", "resources": {"requests": size, "limits": size}}]}}))
    env.wait_for("pods/first", lambda p: p["status"]["initContainerStatuses"][0]["resources"]["limits"] == size)
    assert shown(env, "first", "init")[1:] == [15000, 96 * MI]
    env.exec("first", "touch", "/go", args=("-c", "init"))
    env.wait_ready("pod/first")
    assert shown(env, "first")[1:] == [10000, 64 * MI]


def test_pod_level_resources(env):
    env.node()
    open_ended = env.container(image="busybox:1", command=SERVE)
    whole = {"requests": {"cpu": "200m", "memory": "64Mi"}, "limits": {"cpu": "400m", "memory": "128Mi"}}
    env.apply(pod_of(env, "whole", open_ended, resources=whole))
    env.wait_ready("pod/whole")
    pod = env.wait_for("pods/whole", lambda p: p["status"].get("resources"))
    assert pod["status"]["qosClass"] == "Burstable"
    assert pod["status"]["resources"] == whole, pod["status"]["resources"]
    assert pod["status"]["allocatedResources"] == whole["requests"]
    assert pod_cgroup(env, pod, memory_file()) == str(128 * MI)
    assert shown(env, "whole")[1:] == [40000, 128 * MI]
    env.kubectl("patch", "pod", "whole", "--subresource", "resize", "-p", json.dumps(
        {"spec": {"resources": {"limits": {"cpu": "800m", "memory": "256Mi"}}}}))
    pod = env.wait_for("pods/whole", lambda p: p["status"]["resources"]["limits"] == {"cpu": "800m", "memory": "256Mi"}
                       and not condition(p, "PodResizeInProgress"))
    assert pod_cgroup(env, pod, memory_file()) == str(256 * MI)
    assert shown(env, "whole")[1:] == [80000, 256 * MI] and status_of(pod)["restartCount"] == 0


def test_too_much_on_disk_is_evicted(env):
    env.node()
    mount = [{"name": "data", "mountPath": "/data"}]
    write = "dd if=/dev/zero of={} bs=1M count=8; sync; sleep 1000"
    volume = env.container(image="busybox:1", command=["sh", "-c", write.format("/data/file")], volumeMounts=mount)
    layer = env.container(image="busybox:1", command=["sh", "-c", write.format("/file")],
                          resources={"limits": {"ephemeral-storage": "4Mi"}})
    modest = env.container(image="busybox:1", command=["sh", "-c", write.format("/file")],
                           resources={"limits": {"ephemeral-storage": "64Mi"}})
    env.apply(env.pod("volume", containers=[volume], volumes=[{"name": "data", "emptyDir": {"sizeLimit": "4Mi"}}]),
              env.pod("layer", containers=[layer]), env.pod("modest", containers=[modest]))
    for name, message in (("volume", 'Usage of EmptyDir volume "data" exceeds the limit "4Mi". '),
                          ("layer", "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ")):
        pod = env.wait_for(f"pods/{name}", lambda p: p["status"].get("phase") == "Failed")
        assert (pod["status"]["reason"], pod["status"]["message"]) == ("Evicted", message), pod["status"]
        assert ("Evicted", message) in env.events(name), env.events(name)
    assert env.get("pod modest")["status"]["phase"] == "Running"


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""The host reboots under running pods: they start anew, and nothing stale is taken for theirs.

A reboot as the agent sees it: another boot id, its files as they were, and nothing else left. The
boot id is a file mounted over the kernel's in a mount namespace of the agent's.
"""

import os
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import machine  # noqa: E402

BOOT_ID = "/proc/sys/kernel/random/boot_id"
ENTER = f'mount --make-rprivate /proc && mount --bind "$1" {BOOT_ID} && shift && exec "$@"'


def next_boot(env, node):
    """The agent's coming starts see a boot id that was never there before."""
    path = os.path.join(env.dir, "boot_id")
    with open(path, "w", encoding="ascii") as out:
        out.write(f"{uuid.uuid4()}\n")
    # What the agent mounts elsewhere is still seen outside, where the host's mounts are shared.
    node.prefix = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", ENTER, "sh", path]


def power_off(node):
    """Agent, pods, mounts, cgroups, interfaces and firewall go at once. Returns the pids that were."""
    pids = node.processes()
    node.kill()
    machine.kill_all(node.processes)
    for point in machine.mounts_below(node.root_dir):
        machine.run("umount", "-l", point)
    harness.until(lambda: machine.remove_cgroups(node.cgroup) or not node.cgroup_folders(), 10, "the cgroups are gone")
    for line in machine.run("ip", "-o", "link").splitlines():
        name = line.split()[1].split("@")[0].rstrip(":")
        if name not in ("lo", "node0", "node0-peer"):
            machine.run("ip", "link", "del", name, check=False)  # one end of a pair takes the other along
    machine.run("nft", "flush", "ruleset")
    return pids


def innocents(pids):
    """Processes of others, which have got some of these numbers by chance."""
    taken = []
    for pid in pids:
        for _ in range(20):
            with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as out:
                out.write(str(pid - 1))
            process = subprocess.Popen(["sleep", "1000"])
            if process.pid == pid:
                taken.append(process)
                break
            process.kill()
            process.wait()
    return taken


def state(env, pod):
    return env.get(f"pod {pod}")["status"]["containerStatuses"][0]


@harness.limit(240)
def test_pods_start_anew(env):
    node = env.node()
    once = env.pod("once", image="busybox:1", restartPolicy="Never", command=["sh", "-c", "echo first; exec sleep 1000"])
    disk = env.pod("disk", volumes=[{"name": "v", "emptyDir": {}}])
    disk["spec"]["containers"] = [env.container(
        image="busybox:1", volumeMounts=[{"name": "v", "mountPath": "/v"}],
        command=["sh", "-c", "echo run >> /v/runs; date > /own; trap 'exit 0' TERM; while :; do sleep 0.2; done"])]
    done = env.pod("done", image="busybox:1", restartPolicy="Never", command=["sh", "-c", "echo result"])
    env.apply(env.pod("web", image="web:1"), once, disk, done)
    env.wait_ready("pod/web pod/once pod/disk")
    env.wait("pod/done", "jsonpath={.status.phase}=Succeeded")
    before = {name: state(env, name) for name in ("web", "disk", "done")}
    strangers = innocents(power_off(node))
    try:
        assert strangers, "no number could be taken again"
        next_boot(env, node)
        node.start()
        with open(os.path.join(env.dir, "boot_id"), encoding="ascii") as source:
            boot_id = source.read().strip()
        env.wait_for("nodes/n1", lambda n: n["status"]["nodeInfo"]["bootID"] == boot_id)
        for name in ("web", "disk"):
            env.wait_for(f"pods/{name}", lambda p, n=name: harness.condition(p, "Ready") == "True" and
                         p["status"]["containerStatuses"][0]["containerID"] != before[n]["containerID"])
            assert state(env, name)["restartCount"] == 1, state(env, name)
        assert "hello from web" in env.fetch(f"http://{env.pod_ip('web')}/")
        # A volume of the pod is on the disk and outlives the boot.
        assert env.exec("disk", "cat", "/v/runs") == "run\nrun\n"
        # What may not start again has failed; what was done stays done.
        env.wait("pod/once", "jsonpath={.status.phase}=Failed", 30)
        assert env.get("pod done")["status"]["phase"] == "Succeeded"
        assert state(env, "done")["containerID"] == before["done"]["containerID"]
        assert env.logs_of("done") == "result\n"
        for process in strangers:
            assert process.poll() is None, "a process of somebody else was killed"
        env.delete("pod web once disk done")
        for folder in ("pods", "sandboxes"):
            harness.until(lambda f=folder: not os.listdir(os.path.join(node.root_dir, f)), 20, f"{folder} is empty")
        for process in strangers:
            assert process.poll() is None, "a process of somebody else was killed"
    finally:
        for process in strangers:
            process.kill()
            process.wait()


def test_pods_deleted_while_the_host_was_down(env):
    node = env.node()
    env.apply(env.pod("gone", image="web:1"), env.pod("stays", image="web:1"))
    env.wait_ready("pod/gone pod/stays")
    power_off(node)
    env.delete("pod gone", "--grace-period=0", "--force", wait=False)
    next_boot(env, node)
    node.start()
    env.wait_for("pods/stays", lambda p: harness.condition(p, "Ready") == "True" and
                 p["status"]["containerStatuses"][0]["restartCount"] == 1)
    harness.until(lambda: len(os.listdir(os.path.join(node.root_dir, "pods"))) == 1, 20, "nothing is left of the other")
    assert len(os.listdir(os.path.join(node.root_dir, "sandboxes"))) == 1


if __name__ == "__main__":
    harness.main()

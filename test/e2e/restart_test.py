#!/usr/bin/env python3
"""The agent killed and restarted at bad moments: nothing restarts, nothing is forgotten, nothing runs twice."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402


def container(env, pod, name=None):
    statuses = env.get(f"pod {pod}")["status"]["containerStatuses"]
    return next(s for s in statuses if name is None or s["name"] == name)


def test_running_pods_do_not_notice(env):
    node = env.node()
    env.apply(env.pod("stay", image="busybox:1", command=["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done"]),
              env.pod("web", image="web:1"))
    env.wait_ready("pod/stay pod/web")
    before = container(env, "stay")
    node.kill()
    ip = env.pod_ip("web")
    assert "hello from web" in env.fetch(f"http://{ip}/")
    node.start()
    env.wait_ready("pod/stay")
    after = container(env, "stay")
    assert after["containerID"] == before["containerID"] and after["restartCount"] == 0, (before, after)
    count = len(env.logs_of("stay").split())
    harness.until(lambda: len(env.logs_of("stay").split()) > count, 10, "the log goes on")
    numbers = [int(n) for n in env.logs_of("stay").split()]
    assert numbers == list(range(len(numbers))), "lines were lost"
    assert env.exec("stay", "echo", "again") == "again\n"


def test_exit_while_no_agent_runs_is_reported(env):
    node = env.node()
    env.apply(env.pod("soon", image="busybox:1", restartPolicy="Never",
                      command=["sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; exit 9"]))
    env.wait_ready("pod/soon")
    # The command runs on after the agent is gone, and ends meanwhile.
    env.exec("soon", "sh", "-c", "(sleep 1; touch /go) > /dev/null 2>&1 &")
    node.kill()
    ended = lambda: not [p for p in node.processes() if b"/go" in _cmdline(p)]  # noqa: E731
    harness.until(ended, 15, "the container has ended")
    node.start()
    pod = env.wait_for("pods/soon", lambda p: p["status"].get("phase") == "Failed")
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert state["exitCode"] == 9 and state["reason"] == "Error", state


def _cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as source:
            return source.read()
    except OSError:
        return b""


def test_deleted_while_no_agent_runs(env):
    node = env.node()
    env.apply(env.pod("deleted", image="web:1"), env.pod("forced", image="web:1"))
    env.wait_ready("pod/deleted pod/forced")
    node.kill()
    env.delete("pod deleted", wait=False)
    env.delete("pod forced", "--grace-period=0", "--force", wait=False)
    node.start()
    env.wait_gone("pod/deleted")
    harness.until(lambda: not os.listdir(f"{node.root_dir}/pods"), 20, "nothing is left of either")
    harness.until(lambda: not os.listdir(f"{node.root_dir}/sandboxes"), 20, "no sandbox is left")


@harness.limit(300)
def test_kills_under_load_start_nothing_twice(env):
    node = env.node()
    env.apply(env.deployment("many", replicas=20, image="web:1"))
    for _ in range(5):
        env.wait_for("nodes/n1", lambda n: True)
        node.restart()
    env.kubectl("rollout", "status", "deployment/many", "--timeout=120s")
    pods = env.get("pods -l app=many")["items"]
    assert len(pods) == 20, len(pods)
    assert all(p["status"]["containerStatuses"][0]["restartCount"] == 0 for p in pods)
    wanted = {p["metadata"]["uid"] for p in pods}
    assert set(os.listdir(f"{node.root_dir}/sandboxes")) == wanted
    addresses = [p["status"]["podIP"] for p in pods]
    assert len(set(addresses)) == 20, addresses
    env.delete("deployment many")
    harness.until(lambda: not env.get("pods -l app=many")["items"], 60, "all gone")


def test_api_server_restarted_under_load(env):
    node = env.node()
    env.apply(env.deployment("load", replicas=10, image="web:1"))
    env.control_plane("restart")
    harness.until(lambda: env.kubectl("get", "--raw", "/readyz", check=False) == "ok", 60, "the API server is back")
    env.kubectl("rollout", "status", "deployment/load", "--timeout=120s")
    assert node.running()
    env.delete("deployment load")


def test_warden_killed_restarts_the_pod(env):
    node = env.node()
    env.apply(env.pod("fragile", image="web:1"))
    env.wait_ready("pod/fragile")
    uid = env.get("pod fragile")["metadata"]["uid"]
    # The warden is PID 1 of the pod's PID namespace: the parent of the container's program.
    inside = [p for p in node.processes() if b"web" in _cmdline(p) and b"warden" not in _cmdline(p)]
    assert inside, uid
    parents = {int(open(f"/proc/{p}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()[1]) for p in inside}
    for parent in parents:
        if b"warden" in _cmdline(parent):
            os.kill(parent, 9)
    pod = env.wait_for("pods/fragile", lambda p: any(
        c["restartCount"] == 1 and c["ready"] for c in p["status"].get("containerStatuses", [])), 60)
    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["exitCode"] == 137 and last["reason"] == "ContainerStatusUnknown", last


def test_node_object_comes_back(env):
    env.node()
    env.kubectl("delete", "node", "n1", "--wait=false")
    env.wait_for("nodes/n1", lambda n: harness.condition(n, "Ready") == "True", 60)


@harness.limit(600)
def test_two_hundred_pods_leave_nothing(env):
    node = env.node()
    for round_ in range(2):
        env.apply(env.deployment("crowd", replicas=100, image="web:1"))
        env.kubectl("rollout", "status", "deployment/crowd", "--timeout=240s", timeout=250)
        env.delete("deployment crowd", timeout=120)
        harness.until(lambda: not env.get("pods -l app=crowd")["items"], 120, f"round {round_} is gone")
    for folder in ("pods", "sandboxes"):
        harness.until(lambda f=folder: not os.listdir(f"{node.root_dir}/{f}"), 30, f"{folder} is empty")
    harness.until(lambda: not [f for f in node.cgroup_folders() if "/pod" in f], 30, "no pod cgroup is left")


if __name__ == "__main__":
    harness.main()

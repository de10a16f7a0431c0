#!/usr/bin/env python3
"""Crash-only: the agent and the API server go and come, and no container notices."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402


def shell(env, script, **fields):
    return env.container(image="busybox:1", command=["sh", "-c", script], **fields)


def identity(env, name):
    """What changes when a container is started anew."""
    status = env.get(f"pod {name}")["status"]["containerStatuses"][0]
    return status["containerID"], status["restartCount"], status["state"]["running"]["startedAt"]


def test_a_killed_agent_changes_nothing(env):
    node = env.node()
    env.apply(env.pod("steady", containers=[shell(
        env, "i=0; while :; do i=$((i + 1)); echo line $i; sleep 0.1; done")]),
        env.pod("web", image="web:1"))
    env.wait_ready("pod/steady")
    env.wait_ready("pod/web")
    before = identity(env, "steady"), identity(env, "web")
    ip = env.pod_ip("web")
    node.kill()
    assert "hello from web" in env.fetch(f"http://{ip}/")
    node.start()
    assert "hello from web" in env.fetch(f"http://{ip}/")
    # Exec goes to the very same container.
    assert env.exec("steady", "echo", "alive") == "alive\n"
    count = len(env.logs_of("steady").splitlines())
    harness.until(lambda: len(env.logs_of("steady").splitlines()) > count, 10, "the log goes on")
    numbers = [int(line.split()[1]) for line in env.logs_of("steady").splitlines()]
    assert numbers == list(range(1, len(numbers) + 1)), "lines were lost or doubled"
    assert (identity(env, "steady"), identity(env, "web")) == before
    env.delete("pod steady web", timeout=30)


def test_exits_meanwhile_are_reported(env):
    node = env.node()
    mount = [{"name": "gate", "mountPath": "/gate"}]
    gate = os.path.join(env.dir, "gate")
    os.makedirs(gate, exist_ok=True)
    volumes = [{"name": "gate", "hostPath": {"path": gate}}]
    wait = "while [ ! -e /gate/open ]; do sleep 0.05; done; "
    env.apply(
        env.pod("ends", restartPolicy="Never", volumes=volumes,
                containers=[shell(env, wait + "exit 9", volumeMounts=mount)]),
        env.pod("again", volumes=volumes, containers=[shell(
            env, wait + "[ -e /gate/second ] && sleep 1000; touch /gate/second; exit 4",
            volumeMounts=mount)]))
    env.wait_ready("pod/ends")
    env.wait_ready("pod/again")
    node.kill()
    with open(os.path.join(gate, "open"), "w", encoding="ascii"):
        pass
    harness.until(lambda: os.path.exists(os.path.join(gate, "second")), 10, "both have ended")
    node.start()
    pod = env.wait_for("pods/ends", lambda p: p["status"]["phase"] == "Failed")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 9, pod["status"]

    def restarted(pod):
        status = pod["status"]["containerStatuses"][0]
        return status["restartCount"] == 1 and "running" in status["state"]
    pod = env.wait_for("pods/again", restarted)
    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["exitCode"] == 4, last


def test_pods_deleted_meanwhile_go(env):
    node = env.node()
    env.apply(env.pod("doomed"), env.pod("kept"))
    env.wait_ready("pod/doomed")
    env.wait_ready("pod/kept")
    before = identity(env, "kept")
    node.kill()
    env.delete("pod doomed", wait=False)
    node.start()
    env.wait_gone("pod/doomed", 30)
    assert identity(env, "kept") == before


def test_orderly_restart_keeps_pods(env):
    node = env.node()
    env.apply(env.pod("stays"))
    env.wait_ready("pod/stays")
    before = identity(env, "stays")
    status = node.stop()
    assert status == 0, f"SIGTERM gave status {status}\n{node.log_tail()}"
    node.start()
    env.wait_ready("pod/stays")
    assert identity(env, "stays") == before


@harness.limit(300)
def test_agent_killed_under_load(env):
    node = env.node()
    env.apply(env.deployment("load", replicas=40))
    for _ in range(4):
        harness.until(lambda: env.get("deployment load")["status"].get("readyReplicas", 0) >= 1, 60,
                      "some pods are ready")
        node.kill()
        node.start()
    env.kubectl("rollout", "status", "deployment/load", "--timeout=120s")
    pods = env.get("pods -l app=load")["items"]
    assert len(pods) == 40 and all(
        p["status"]["containerStatuses"][0]["restartCount"] == 0 for p in pods), \
        json.dumps([p["status"]["containerStatuses"] for p in pods])[:1000]
    addresses = {p["status"]["podIP"] for p in pods}
    assert len(addresses) == 40, "an address was given twice"
    env.kubectl("scale", "deployment/load", "--replicas=0")
    node.kill()
    node.start()
    env.kubectl("wait", "pod", "-l", "app=load", "--for=delete", "--timeout=90s")


@harness.limit(300)
def test_api_server_restarted_under_load(env):
    env.node()
    env.apply(env.deployment("outage", replicas=40))
    for _ in range(2):
        harness.until(lambda: env.get("deployment outage")["status"].get("readyReplicas", 0) >= 1,
                      60, "some pods are ready")
        env.control_plane("restart")
    env.kubectl("rollout", "status", "deployment/outage", "--timeout=120s")
    env.kubectl("scale", "deployment/outage", "--replicas=0")
    env.control_plane("restart")
    env.kubectl("wait", "pod", "-l", "app=outage", "--for=delete", "--timeout=90s")


def test_a_second_agent_is_refused(env):
    node = env.node()
    rival = harness.Node(env, "rival", 2)
    rival.root_dir = node.root_dir
    rival.start(wait=False)
    status = rival.process.wait(15)
    assert status not in (0, None) and node.root_dir in rival.log_tail(), rival.log_tail()
    assert node.running()


if __name__ == "__main__":
    harness.main()

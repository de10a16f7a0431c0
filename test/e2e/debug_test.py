#!/usr/bin/env python3
"""Into a running pod by kubectl debug; and what restarts in place: a changed image, rules that restart all."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
from exec_test import Terminal, kubectl  # noqa: E402


def shell(env, script, name="main", **fields):
    return env.container(name=name, image="busybox:1", command=["sh", "-c", script], **fields)


def service(env, name):
    """A pod whose one program has a name that can be looked for, Ready."""
    env.node()
    env.apply(env.pod(name, containers=[shell(env, "exec sleep 7654")]))
    env.wait_ready(f"pod/{name}")


def ephemeral(pod, name):
    return next((s for s in pod["status"].get("ephemeralContainerStatuses", []) if s["name"] == name), None)


def debugger(env, pod, state="running"):
    """The name of the pod's first debugger, once it is in that state."""
    def there(p):
        return any(state in s["state"] for s in p["status"].get("ephemeralContainerStatuses", []))
    found = env.wait_for(f"pods/{pod}", there)
    return found["status"]["ephemeralContainerStatuses"][0]["name"]


PROCESSES = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done"


def test_debug_with_a_target_sees_its_processes(env):
    service(env, "web")
    terminal = Terminal(kubectl(env, "debug", "-it", "web", f"--image={env.image('busybox:1')}", "--target=main",
                                "--profile=general", "--", "sh"))
    terminal.type(PROCESSES + "; echo over\n")
    terminal.expect("sleep 7654")
    terminal.expect("over")
    terminal.type("tty; exit 3\n")
    terminal.expect("/dev/pts/")
    terminal.end()
    pod = env.wait_for("pods/web", lambda p: "terminated" in p["status"]["ephemeralContainerStatuses"][0]["state"])
    ended = pod["status"]["ephemeralContainerStatuses"][0]
    assert ended["state"]["terminated"]["exitCode"] == 3 and ended["restartCount"] == 0, ended
    # It is done for good; the pod did not notice.
    main = pod["status"]["containerStatuses"][0]
    assert main["restartCount"] == 0 and main["ready"], main
    assert "sleep 7654" in env.exec("web", "sh", "-c", PROCESSES)


def test_debug_without_a_target_sees_only_itself(env):
    service(env, "web")
    env.kubectl("debug", "web", f"--image={env.image('busybox:1')}", "--profile=general", "--container=dbg", "--",
                "sh", "-c", PROCESSES + "; echo $HOSTNAME; sleep 1000")
    assert debugger(env, "web") == "dbg"
    harness.until(lambda: "web" in env.logs_of("web", "-c", "dbg"), 20, "the debugger has spoken")
    assert "7654" not in env.logs_of("web", "-c", "dbg")
    assert env.exec("web", "hostname", args=("-c", "dbg")) == "web\n"
    ip = env.pod_ip("web")
    assert ip in env.exec("web", "sh", "-c", "cat /etc/hosts", args=("-c", "dbg"))


def test_a_debugger_outlives_the_agent(env):
    node = env.node()
    service(env, "web")
    env.kubectl("debug", "web", f"--image={env.image('busybox:1')}", "--target=main", "--profile=general",
                "--container=dbg", "-i", "--attach=false", "--", "sh", "-c",
                'echo ready; while read -r line; do echo "got $line"; done; exit 5')
    debugger(env, "web")
    before = ephemeral(env.get("pod web"), "dbg")
    node.kill()
    node.start()
    env.wait_ready("pod/web")
    after = env.wait_for("pods/web", lambda p: ephemeral(p, "dbg") and "running" in ephemeral(p, "dbg")["state"])
    assert ephemeral(after, "dbg")["containerID"] == before["containerID"], after["status"]
    assert "sleep 7654" in env.exec("web", "sh", "-c", PROCESSES, args=("-c", "dbg"))
    # A client that stays: what it says is answered.
    with subprocess.Popen(kubectl(env, "attach", "-i", "web", "-c", "dbg"), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as attached:
        attached.stdin.write(b"one\n")
        attached.stdin.flush()
        seen = b""
        while b"got one" not in seen:
            data = os.read(attached.stdout.fileno(), 4096)
            assert data, seen
            seen += data
        attached.kill()
    assert "got one" in env.logs_of("web", "-c", "dbg")
    env.delete("pod web")


def test_the_end_of_the_target_is_the_debuggers(env):
    env.node()
    env.apply(env.pod("short", restartPolicy="Never", containers=[
        shell(env, "while [ ! -e /go ]; do sleep 0.05; done"), shell(env, "exec sleep 1000", name="stays")]))
    env.wait_ready("pod/short")
    env.kubectl("debug", "short", f"--image={env.image('busybox:1')}", "--target=main", "--profile=general",
                "--container=dbg", "--", "sleep", "1000")
    debugger(env, "short")
    env.exec("short", "touch", "/go", args=("-c", "main"))
    pod = env.wait_for("pods/short", lambda p: "terminated" in ephemeral(p, "dbg")["state"])
    assert ephemeral(pod, "dbg")["state"]["terminated"]["exitCode"] == 137, pod["status"]


def test_a_debugger_whose_image_is_missing_says_so(env):
    service(env, "web")
    env.kubectl("debug", "web", f"--image={env.image('nothing:1')}", "--container=dbg", "--profile=general", "--", "true")
    env.wait_for("pods/web", lambda p: (ephemeral(p, "dbg") or {"state": {}})["state"].get(
        "waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff"))
    assert env.get("pod web")["status"]["containerStatuses"][0]["ready"]
    env.delete("pod web")


def test_a_changed_image_runs_in_place(env):
    env.node()
    env.apply(env.pod("web", restartPolicy="Never", containers=[
        env.container(image="web:1"), shell(env, "exec sleep 1000", name="other")]))
    env.wait_ready("pod/web")
    before = env.get("pod web")
    ip = env.pod_ip("web")
    assert "version 1" in env.fetch(f"http://{ip}/")
    env.kubectl("set", "image", "pod/web", f"main={env.image('web:2')}")
    pod = env.wait_for("pods/web", lambda p: any(
        s["name"] == "main" and s["restartCount"] == 1 and s["ready"] for s in p["status"]["containerStatuses"]))
    assert env.pod_ip("web") == ip
    harness.until(lambda: "version 2" in env.fetch(f"http://{ip}/"), 20, "the new version serves")
    other = {s["name"]: s for s in pod["status"]["containerStatuses"]}["other"]
    assert other["containerID"] == {s["name"]: s for s in before["status"]["containerStatuses"]}["other"]["containerID"]
    assert ("Killing", "Container main definition changed, will be restarted") in env.events("web")
    assert pod["status"]["observedGeneration"] == pod["metadata"]["generation"], pod["status"]


def test_a_rule_restarts_all_containers(env):
    env.node()
    counting = "echo run >> /shared/{0}; {1}"
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    boss = shell(env, counting.format("boss", "while [ ! -e /shared/go ]; do sleep 0.05; done; rm /shared/go; exit 42"),
                 volumeMounts=mounts, restartPolicy="Never",
                 restartPolicyRules=[{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}])
    env.apply(env.pod("ring", restartPolicy="Never", volumes=[{"name": "shared", "emptyDir": {}}],
                      initContainers=[shell(env, counting.format("init", "true"), name="init", volumeMounts=mounts)],
                      containers=[boss, shell(env, counting.format("other", "exec sleep 1000"), name="other",
                                              volumeMounts=mounts)]))
    env.wait_ready("pod/ring")
    ip = env.pod_ip("ring")
    env.exec("ring", "touch", "/shared/go", args=("-c", "other"))
    pod = env.wait_for("pods/ring", lambda p: all(
        s["restartCount"] == 1 and s["ready"] for s in p["status"]["containerStatuses"]))
    for name in ("init", "boss", "other"):
        assert env.exec("ring", "cat", f"/shared/{name}", args=("-c", "other")) == "run\nrun\n", name
    assert env.pod_ip("ring") == ip
    condition = next(c for c in pod["status"]["conditions"] if c["type"] == "AllContainersRestarting")
    assert condition["status"] == "False", condition
    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["reason"] == "RestartingAllContainers", last


def test_dns_beyond_the_limits_is_told(env):
    env.node()
    env.apply(env.pod("many", dnsPolicy="None", dnsConfig={
        "nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3"], "searches": ["a.example"]}, containers=[
            shell(env, "exec sleep 1000")]))
    env.apply(env.pod("more", dnsConfig={"nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}))
    env.wait_ready("pod/many pod/more")
    harness.until(lambda: any(reason == "DNSConfigForming" for reason, _ in env.events("more")), 20, "the event")
    assert not [e for e in env.events("many") if e[0] == "DNSConfigForming"]
    assert "nameserver 192.0.2.3" in env.exec("many", "cat", "/etc/resolv.conf")


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""Probes, hooks and sidecars on a real API server."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

SLEEP = "exec sleep 1000"


def shell(script, **fields):
    return {"command": ["sh", "-c", script], **fields}


def probe(period=1, **fields):
    return {"periodSeconds": period, "failureThreshold": 1, **fields}


def run(command, **fields):
    return probe(exec={"command": ["sh", "-c", command]}, **fields)


def container_status(pod, name="main"):
    every = pod["status"].get("containerStatuses", []) + pod["status"].get("initContainerStatuses", [])
    return next((c for c in every if c["name"] == name), {})


def restarted(count, name="main"):
    return lambda pod: (container_status(pod, name).get("restartCount", 0) >= count
                        and "running" in container_status(pod, name).get("state", {}))


def ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def wait_event(env, pod, reason, text, seconds=15):
    harness.until(lambda: any(r == reason and text in m for r, m in env.events(pod)), seconds,
                  f"event {reason} with {text!r}")


def test_readiness_by_command_follows_what_the_command_says(env):
    env.node()
    main = env.container("main", "busybox:1", **shell(SLEEP), readinessProbe=run("test -e /ready"))
    env.apply(env.pod("web", containers=[main]))
    pod = env.wait_for("pods/web", lambda p: container_status(p).get("started"))
    assert not ready(pod) and not container_status(pod)["ready"], pod["status"]
    env.exec("web", "touch", "/ready")
    env.wait_ready("pod/web")
    env.exec("web", "rm", "/ready")
    pod = env.wait_for("pods/web", lambda p: not ready(p))
    assert container_status(pod)["restartCount"] == 0, pod["status"]
    wait_event(env, "web", "Unhealthy", "Readiness probe failed: ")


def test_readiness_by_http_with_a_named_port(env):
    env.node()
    get = {"path": "/", "port": "http", "httpHeaders": [{"name": "X-Of-Mine", "value": "1"}]}
    main = env.container("main", "web:1", ports=[{"name": "http", "containerPort": 80}],
                         readinessProbe=probe(httpGet=get), livenessProbe=probe(httpGet=get))
    env.apply(env.pod("web", containers=[main]))
    env.wait_ready("pod/web")


def test_https_needs_no_certificate_that_anybody_trusts(env):
    env.node()
    # The API server lets anybody ask whether it lives; its certificate is of an authority of the test's own.
    server = env.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").rsplit(":", 1)
    get = {"scheme": "HTTPS", "host": server[0].split("//")[1], "port": int(server[1]), "path": "/livez"}
    plain = {**get, "scheme": "HTTP"}
    env.apply(env.pod("web", containers=[env.container(readinessProbe=probe(httpGet=get))]),
              env.pod("plain", containers=[env.container(readinessProbe=probe(httpGet=plain))]))
    env.wait_ready("pod/web")
    wait_event(env, "plain", "Unhealthy", "HTTP probe failed with statuscode: 400")
    assert not ready(env.get("pod plain"))


def test_liveness_by_http_restarts_at_a_bad_status(env):
    env.node()
    # agnhost's liveness: good for ten seconds, then 500.
    main = env.container("main", "agnhost:1", command=["/agnhost"], args=["liveness"],
                         livenessProbe=probe(httpGet={"path": "/healthz", "port": 8080}))
    env.apply(env.pod("web", containers=[main]))
    env.wait_ready("pod/web")
    env.wait_for("pods/web", restarted(1))
    wait_event(env, "web", "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500")
    wait_event(env, "web", "Killing", "Container main failed liveness probe, will be restarted")


def test_liveness_by_command_restarts(env):
    env.node()
    main = env.container("main", "busybox:1", **shell(f"touch /alive; {SLEEP}"),
                         livenessProbe=run("echo looked; test -e /alive"))
    env.apply(env.pod("web", containers=[main]))
    env.wait_ready("pod/web")
    env.exec("web", "rm", "/alive")
    pod = env.wait_for("pods/web", restarted(1))
    assert "terminated" in container_status(pod)["lastState"], pod["status"]
    wait_event(env, "web", "Unhealthy", "Liveness probe failed: looked")


def test_liveness_by_tcp(env):
    env.node()
    good = env.container("main", "web:1", livenessProbe=probe(tcpSocket={"port": 80}))
    bad = env.container("main", "web:1", livenessProbe=probe(tcpSocket={"port": 81}))
    env.apply(env.pod("good", containers=[good]), env.pod("bad", containers=[bad]))
    env.wait_for("pods/bad", restarted(1))
    wait_event(env, "bad", "Unhealthy", "connect: connection refused")
    assert container_status(env.get("pod good"))["restartCount"] == 0


def test_probes_by_grpc(env):
    env.node()
    server = {"image": "agnhost:1", "command": ["/agnhost"],
              "args": ["grpc-health-checking", "--service", "web", "--delay-unhealthy-sec", "3600"]}
    good = env.container("main", **server, readinessProbe=probe(grpc={"port": 5000, "service": "web"}))
    bad = env.container("main", **server, livenessProbe=probe(grpc={"port": 5001}))
    env.apply(env.pod("good", containers=[good]), env.pod("bad", containers=[bad]))
    env.wait_ready("pod/good")
    env.wait_for("pods/bad", restarted(1))
    wait_event(env, "bad", "Unhealthy", "failed to connect service")


def test_a_command_that_takes_too_long_is_a_failure(env):
    env.node()
    main = env.container("main", "busybox:1", **shell(SLEEP), livenessProbe=run("sleep 600"))
    env.apply(env.pod("web", containers=[main]))
    env.wait_for("pods/web", restarted(1))
    wait_event(env, "web", "Unhealthy", 'command timed out: "sh -c sleep 600" timed out after 1s')


def test_a_commands_endless_words_do_not_fill_the_agent(env):
    """CVE-2022-31030: a probe's output was kept whole, however much it was."""
    node = env.node()

    def memory():
        with open(f"/proc/{node.pid}/status", encoding="ascii") as source:
            return next(int(line.split()[1]) for line in source if line.startswith("VmRSS:")) >> 10
    before = memory()
    main = env.container("main", "busybox:1", **shell(SLEEP), readinessProbe=run(
        "dd if=/dev/zero bs=1M count=400 2>/dev/null | tr '\\0' x; exit 3", timeoutSeconds=60))
    env.apply(env.pod("talks", containers=[main]))
    wait_event(env, "talks", "Unhealthy", "Readiness probe failed: xxxxx", 60)
    assert memory() < before + 100, (before, memory())


def test_startup_probe_comes_before_the_others(env):
    env.node()
    main = env.container("main", "busybox:1", **shell(SLEEP), startupProbe=run("test -e /started", failureThreshold=60),
                         livenessProbe=run("test -e /started"), readinessProbe=run("true"))
    env.apply(env.pod("web", containers=[main]))
    wait_event(env, "web", "Unhealthy", "Startup probe failed")
    now = container_status(env.get("pod web"))
    assert now["started"] is False and not now["ready"] and now["restartCount"] == 0, now
    env.exec("web", "touch", "/started")
    env.wait_ready("pod/web")
    assert container_status(env.get("pod web"))["restartCount"] == 0


def test_startup_probe_that_fails_restarts(env):
    env.node()
    main = env.container("main", "busybox:1", **shell(SLEEP), startupProbe=run("false"))
    env.apply(env.pod("web", containers=[main]))
    env.wait_for("pods/web", restarted(1))
    wait_event(env, "web", "Killing", "Container main failed startup probe, will be restarted")


def test_a_probes_own_grace_period(env):
    env.node()
    main = env.container("main", "busybox:1", **shell("trap '' TERM; while :; do sleep 1; done"),
                         livenessProbe=run("false", terminationGracePeriodSeconds=2))
    env.apply(env.pod("web", containers=[main], terminationGracePeriodSeconds=300))
    pod = env.wait_for("pods/web", restarted(1), 30)
    assert container_status(pod)["lastState"]["terminated"]["exitCode"] == 137, pod["status"]
    env.delete("pod web", "--grace-period=0", "--force")


def test_a_pod_that_may_not_restart_ends_by_its_liveness(env):
    env.node()
    main = env.container("main", "busybox:1", **shell(SLEEP), livenessProbe=run("false"))
    env.apply(env.pod("once", containers=[main], restartPolicy="Never"))
    pod = env.wait_for("pods/once", lambda p: p["status"].get("phase") == "Failed")
    assert container_status(pod)["restartCount"] == 0, pod["status"]


def test_readiness_goes_on_while_the_pod_ends(env):
    env.node()
    main = env.container("main", "busybox:1", **shell("trap 'rm /ready; sleep 8; exit 0' TERM; "
                                                      "touch /ready; while :; do sleep 0.1; done"),
                         readinessProbe=run("test -e /ready"), livenessProbe=run("test -e /ready"))
    env.apply(env.pod("web", containers=[main], terminationGracePeriodSeconds=60))
    env.wait_ready("pod/web")
    env.delete("pod web", wait=False)
    pod = env.wait_for("pods/web", lambda p: not ready(p))
    assert "running" in container_status(pod)["state"], pod["status"]
    assert not any("liveness" in m for _, m in env.events("web")), env.events("web")
    env.wait_gone("pod/web")


def test_an_agent_restart_does_not_shake_readiness(env):
    node = env.node()
    main = env.container("main", "busybox:1", **shell(f"touch /ready; {SLEEP}"),
                         readinessProbe=run("test -e /ready", period=3), startupProbe=run("true"))
    env.apply(env.pod("web", containers=[main]))
    env.wait_ready("pod/web")
    before = next(c for c in env.get("pod web")["status"]["conditions"] if c["type"] == "Ready")
    node.restart()
    env.exec("web", "rm", "/ready")
    pod = env.wait_for("pods/web", lambda p: not ready(p))
    assert container_status(pod)["restartCount"] == 0 and container_status(pod)["started"], pod["status"]
    env.exec("web", "touch", "/ready")
    env.wait_ready("pod/web")
    node.restart()
    same = next(c for c in env.get("pod web")["status"]["conditions"] if c["type"] == "Ready")
    assert same["status"] == "True" and before["status"] == "True", same


def test_probes_of_a_pod_in_the_nodes_network(env):
    env.node()
    main = env.container("main", "web:1", env=[{"name": "PORT", "value": "8097"}],
                         readinessProbe=probe(httpGet={"path": "/", "port": 8097}))
    env.apply(env.pod("hosted", containers=[main], hostNetwork=True))
    env.wait_ready("pod/hosted")


def notes(env, pod):
    """A folder of the host that outlives the pod, for a pod's last words: (volumes, mounts, reader)."""
    folder = os.path.join(env.dir, f"notes-{env.ns}-{pod}")
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o777)

    def read(name):
        try:
            with open(os.path.join(folder, name), encoding="ascii") as source:
                return source.read()
        except FileNotFoundError:
            return ""
    return ([{"name": "notes", "hostPath": {"path": folder, "type": "Directory"}}],
            [{"name": "notes", "mountPath": "/notes"}], read)


def hooks(**fields):
    return {"lifecycle": {name: value for name, value in fields.items()}}


def command(text):
    return {"exec": {"command": ["sh", "-c", text]}}


def test_readiness_gates_are_others_to_open(env):
    node = env.node()

    def gate(value):
        env.kubectl("patch", "pod", "gated", "--subresource", "status", "-p", json.dumps({"status": {"conditions": [
            {"type": "example.com/open", "status": value, "reason": "Tested", "message": f"is {value}"}]}}))
    main = env.container("main", "busybox:1", **shell("while [ ! -e /end ]; do sleep 0.1; done; exit 1"))
    env.apply(env.pod("gated", containers=[main],
                      readinessGates=[{"conditionType": "example.com/open"}]))
    pod = env.wait_for("pods/gated", lambda p: harness.condition(p, "ContainersReady") == "True")
    (told,) = [c for c in pod["status"]["conditions"] if c["type"] == "Ready"]
    assert (told["status"], told["reason"]) == ("False", "ReadinessGatesNotReady"), told
    assert 'pod readiness gate "example.com/open" does not exist' in told["message"], told
    gate("True")
    env.wait_ready("pod/gated")
    # The other's condition is nobody else's to touch, whatever the node tells meanwhile.
    node.restart()
    env.exec("gated", "touch", "/end")
    pod = env.wait_for("pods/gated", lambda p: restarted(1)(p) and ready(p))
    (kept,) = [c for c in pod["status"]["conditions"] if c["type"] == "example.com/open"]
    assert (kept["status"], kept["reason"], kept["message"]) == ("True", "Tested", "is True"), kept
    gate("False")
    env.wait_for("pods/gated", lambda p: not ready(p) and harness.condition(p, "ContainersReady") == "True")


def test_post_start_runs_before_the_next_container_starts(env):
    env.node()
    volumes, mounts, read = notes(env, "web")
    first = env.container("first", "busybox:1", **shell(SLEEP), volumeMounts=mounts,
                          **hooks(postStart=command("sleep 1; echo hook >> /notes/order")))
    second = env.container("second", "busybox:1", **shell(f"echo second >> /notes/order; {SLEEP}"), volumeMounts=mounts)
    env.apply(env.pod("web", containers=[first, second], volumes=volumes))
    env.wait_ready("pod/web")
    harness.until(lambda: read("order") == "hook\nsecond\n", 5, "both have written, in order")


def test_post_start_that_fails_restarts_the_container(env):
    env.node()
    main = env.container("main", "busybox:1", **shell(SLEEP), **hooks(postStart=command("echo why; exit 3")))
    env.apply(env.pod("web", containers=[main]))
    pod = env.wait_for("pods/web", lambda p: container_status(p).get("restartCount", 0) >= 1)
    assert "terminated" in container_status(pod)["lastState"], pod["status"]
    wait_event(env, "web", "FailedPostStartHook", "PostStartHook failed")
    wait_event(env, "web", "Killing", "FailedPostStartHook")


def test_pre_stop_runs_before_the_signal(env):
    env.node()
    volumes, mounts, read = notes(env, "web")
    main = env.container("main", "busybox:1", volumeMounts=mounts,
                         **shell("trap 'echo signal >> /notes/order; exit 0' TERM; while :; do sleep 0.1; done"),
                         **hooks(preStop=command("sleep 1; echo hook >> /notes/order")))
    env.apply(env.pod("web", containers=[main], volumes=volumes, terminationGracePeriodSeconds=30))
    env.wait_ready("pod/web")
    env.delete("pod web")
    assert read("order") == "hook\nsignal\n", read("order")


def test_pre_stop_that_takes_too_long_leaves_little(env):
    env.node()
    volumes, mounts, read = notes(env, "web")
    main = env.container("main", "busybox:1", volumeMounts=mounts,
                         **shell("trap 'echo signal >> /notes/order; exit 0' TERM; while :; do sleep 0.1; done"),
                         **hooks(preStop=command("sleep 500")))
    env.apply(env.pod("web", containers=[main], volumes=volumes, terminationGracePeriodSeconds=2))
    env.wait_ready("pod/web")
    env.delete("pod web", timeout=30)
    assert read("order") == "signal\n", read("order")


def test_hooks_by_http_and_sleep(env):
    env.node()
    volumes, mounts, read = notes(env, "web")
    env.apply(env.pod("server", volumes=volumes, containers=[env.container(
        "main", "busybox:1", volumeMounts=mounts, **shell(
            "while :; do printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n' | nc -l -p 80 >> /notes/asked; done"))]))
    env.wait_ready("pod/server")
    ip = env.pod_ip("server")
    main = env.container("main", "busybox:1", **shell("trap 'exit 0' TERM; while :; do sleep 0.1; done"), **hooks(
        postStart={"httpGet": {"path": "/hook?x=1", "port": 80, "host": ip}}, preStop={"sleep": {"seconds": 2}}))
    env.apply(env.pod("web", containers=[main], terminationGracePeriodSeconds=30))
    env.wait_ready("pod/web")
    harness.until(lambda: "GET /hook?x=1 HTTP/1.1" in read("asked"), 10, "the hook has asked")
    assert "User-Agent: kube-lifecycle/1.37" in read("asked"), read("asked")
    env.delete("pod web", wait=False)
    env.wait_for("pods/web", lambda p: p["metadata"].get("deletionTimestamp"))
    env.exec("web", "true")  # within the pause it runs on
    env.wait_gone("pod/web", 30)


def sidecar(env, name, script, mounts, **fields):
    return env.container(name, "busybox:1", **shell(script), volumeMounts=mounts, restartPolicy="Always", **fields)


def serving(name):
    return (f"echo {name} up >> /notes/order; trap 'echo {name} down >> /notes/order; exit 0' TERM; "
            "while :; do sleep 0.1; done")


def test_sidecars_start_in_order_and_end_last(env):
    env.node()
    volumes, mounts, read = notes(env, "web")
    first = sidecar(env, "first", serving("first"), mounts, startupProbe=run("grep -q up /notes/order", failureThreshold=30))
    second = sidecar(env, "second", serving("second"), mounts, startupProbe=run("grep -q second /notes/order",
                                                                            failureThreshold=30))
    main = env.container("main", "busybox:1", **shell(serving("main")), volumeMounts=mounts)
    env.apply(env.pod("web", containers=[main], initContainers=[first, second], volumes=volumes,
                      terminationGracePeriodSeconds=30))
    env.wait_ready("pod/web")
    harness.until(lambda: "main up" in read("order"), 5, "main runs")
    env.delete("pod web")
    assert read("order").splitlines() == ["first up", "second up", "main up", "main down", "second down",
                                          "first down"], read("order")


def test_a_job_with_a_sidecar_completes(env):
    env.node()
    volumes, mounts, _ = notes(env, "job")
    main = env.container("main", "busybox:1", **shell("sleep 1"))
    env.apply(env.pod("job", containers=[main], initContainers=[sidecar(env, "side", serving("side"), mounts)],
                      volumes=volumes, restartPolicy="Never", terminationGracePeriodSeconds=10))
    env.wait_for("pods/job", lambda p: p["status"].get("phase") == "Succeeded")


def test_a_sidecar_comes_back_and_is_probed(env):
    env.node()
    volumes, mounts, _ = notes(env, "web")
    side = sidecar(env, "side", f"touch /alive; {SLEEP}", mounts, livenessProbe=run("test -e /alive"),
                   readinessProbe=run("test ! -e /away"))
    main = env.container("main", "busybox:1", **shell(SLEEP))
    env.apply(env.pod("web", containers=[main], initContainers=[side], volumes=volumes))
    env.wait_ready("pod/web")
    env.exec("web", "touch", "/away", args=("-c", "side"))
    env.wait_for("pods/web", lambda p: not ready(p))
    env.exec("web", "rm", "/alive", args=("-c", "side"))
    pod = env.wait_for("pods/web", restarted(1, "side"))
    assert container_status(pod)["restartCount"] == 0, pod["status"]
    env.wait_ready("pod/web")


if __name__ == "__main__":
    harness.main()

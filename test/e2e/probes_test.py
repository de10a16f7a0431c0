#!/usr/bin/env python3
"""Probes, hooks and sidecars on a real API server."""

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


def test_a_command_that_takes_too_long_is_a_failure(env):
    env.node()
    main = env.container("main", "busybox:1", **shell(SLEEP), livenessProbe=run("sleep 600"))
    env.apply(env.pod("web", containers=[main]))
    env.wait_for("pods/web", restarted(1))
    wait_event(env, "web", "Unhealthy", 'command timed out: "sh -c sleep 600" timed out after 1s')


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


if __name__ == "__main__":
    harness.main()

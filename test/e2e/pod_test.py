#!/usr/bin/env python3
"""One pod: what it is given, what becomes of its containers, what a client can ask of it."""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402


def shell(env, script, name="main", **fields):
    return env.container(name, "busybox:1", command=["sh", "-c", script], **fields)


def statuses(pod, kind="containerStatuses"):
    return {s["name"]: s for s in pod["status"].get(kind, [])}


def ended(pod, name="main"):
    """The terminated state of a container, or None."""
    return statuses(pod).get(name, {}).get("state", {}).get("terminated")


def wait_ended(env, name):
    pod = env.wait_for(f"pods/{name}", lambda p: p["status"].get("phase") in ("Succeeded", "Failed"))
    return pod, ended(pod)


def test_becomes_ready(env):
    env.node()
    env.apply(env.pod("web", image="web:1"))
    env.wait_ready("pod/web")
    pod = env.get("pod web")
    status = statuses(pod)["main"]
    assert pod["status"]["phase"] == "Running" and pod["status"]["hostIP"] == "10.123.0.1"
    assert status["started"] and status["ready"] and status["restartCount"] == 0, status
    assert re.match(r"burstlet://|[a-z]+://", status["containerID"]), status
    assert "@sha256:" in status["imageID"], status
    for kind in ("PodReadyToStartContainers", "Initialized", "ContainersReady", "PodScheduled"):
        assert harness.condition(pod, kind) == "True", (kind, pod["status"]["conditions"])
    page = env.fetch(f"http://{pod['status']['podIP']}/")
    assert page == "hello from web, version 1\n", page
    reasons = [reason for reason, _ in env.events("web")]
    for reason in ("Scheduled", "Created", "Started"):
        assert reason in reasons, reasons


def test_pods_reach_one_another(env):
    env.node()
    env.apply(env.pod("server", image="web:1"), env.pod("client", containers=[shell(env, "sleep 1000")]))
    env.wait_ready("pod/server")
    env.wait_ready("pod/client")
    page = env.exec("client", "wget", "-q", "-O", "-", f"http://{env.pod_ip('server')}/")
    assert "hello from server" in page, page
    own = env.exec("server", "wget", "-q", "-O", "-", f"http://{env.pod_ip('server')}/")
    assert "hello from server" in own, own


def test_logs(env):
    env.node()
    env.apply(env.pod("talker", containers=[shell(
        env, "for i in 1 2 3; do echo out $i; echo err $i >&2; done; sleep 1000")]))
    env.wait_ready("pod/talker")
    harness.until(lambda: "err 3" in env.logs_of("talker"), 10, "all lines are in the log")
    lines = env.logs_of("talker").splitlines()
    assert sorted(lines) == ["err 1", "err 2", "err 3", "out 1", "out 2", "out 3"], lines
    assert env.logs_of("talker", "--tail=1").count("\n") == 1
    assert re.match(r"\d{4}-\d\d-\d\dT", env.logs_of("talker", "--timestamps", "--tail=1"))
    assert len(env.logs_of("talker", "--limit-bytes=3")) == 3


def test_logs_of_the_previous_container(env):
    env.node()
    env.apply(env.pod("again", containers=[shell(
        env, "echo run $(cat /shared/n 2>/dev/null || echo 0); echo 1 > /shared/n; "
        "[ -e /shared/second ] && sleep 1000; touch /shared/second; exit 3",
        volumeMounts=[{"name": "shared", "mountPath": "/shared"}])],
        volumes=[{"name": "shared", "emptyDir": {}}]))
    pod = env.wait_for("pods/again", lambda p: statuses(p).get("main", {}).get("restartCount") == 1
                       and "running" in statuses(p)["main"]["state"])
    last = statuses(pod)["main"]["lastState"]["terminated"]
    assert last["exitCode"] == 3 and last["reason"] == "Error", last
    assert env.logs_of("again", "--previous").strip() == "run 0"
    assert env.logs_of("again").strip() == "run 1"


def test_exec(env):
    env.node()
    env.apply(env.pod("shell", containers=[shell(env, "sleep 1000")]))
    env.wait_ready("pod/shell")
    assert env.exec("shell", "echo", "a b") == "a b\n"
    assert env.exec("shell", "cat", args=("-i",), stdin="through\n") == "through\n"
    try:
        env.exec("shell", "sh", "-c", "exit 42")
    except harness.CommandError as error:
        assert error.status == 42, error
    else:
        raise AssertionError("exit code 42 was lost")
    try:
        env.exec("shell", "/no/such/program")
    except harness.CommandError as error:
        assert "no such file" in error.stderr.lower(), error
    else:
        raise AssertionError("a missing program ran")
    big = env.exec("shell", "sh", "-c", "yes 0123456789 | head -n 100000")
    assert len(big) == 1100000, len(big)


def test_exit_codes(env):
    env.node()
    env.apply(
        env.pod("good", restartPolicy="Never", containers=[shell(env, "exit 0")]),
        env.pod("bad", restartPolicy="Never", containers=[shell(
            env, "echo the reason > /dev/termination-log; exit 7")]))
    pod, state = wait_ended(env, "good")
    assert pod["status"]["phase"] == "Succeeded" and state["exitCode"] == 0, state
    assert state["reason"] == "Completed" and state["startedAt"] <= state["finishedAt"], state
    pod, state = wait_ended(env, "bad")
    assert pod["status"]["phase"] == "Failed" and state["exitCode"] == 7, state
    assert state["reason"] == "Error" and state["message"] == "the reason\n", state


def test_out_of_memory(env):
    env.node()
    env.apply(env.pod("hungry", restartPolicy="Never", containers=[env.container(
        image="tools:1", command=["/eat", "200"], resources={"limits": {"memory": "32Mi"}})]))
    _, state = wait_ended(env, "hungry")
    assert state["reason"] == "OOMKilled" and state["exitCode"] == 137, state


def test_image_configuration(env):
    env.node()
    env.apply(env.pod("configured", restartPolicy="Never", containers=[env.container(
        image="configured:1", env=[{"name": "MINE", "value": "$(FROM_SPEC)-$(NOT_THERE)-$$(X)"},
                                   {"name": "FROM_SPEC", "value": "a"}])]))
    env.wait_ready("pod/configured")
    shown = env.logs_of("configured")
    for line in ("arg 0 /show", "arg 1 from-entrypoint", "arg 2 from-cmd", "arg 3 two words",
                 "env FROM_IMAGE=yes", "env WITH_SPACE=a b", "env EMPTY=", "uid 1234", "gid 2345",
                 "groups 3456", "cwd /home/tester/new/work", "pid 1", "hostname configured"):
        assert line in shown.splitlines() or (line.startswith("groups") and "3456" in shown), \
            (line, shown)
    assert "env MINE=$(FROM_SPEC)-$(NOT_THERE)-$(X)" in shown, shown
    env.kubectl("delete", "pod", "configured", "--wait=false")
    pod = env.wait_for("pods/configured", lambda p: ended(p) or not p)
    assert ended(pod)["exitCode"] == 10, ended(pod)  # SIGUSR1, the image's stop signal


def test_every_kind_of_image(env):
    env.node()
    images = {"compression:gzip": "cat /compression", "compression:zstd": "cat /compression",
              "compression:plain": "cat /compression", "multiarch:oci": "cat /native",
              "multiarch:docker": "cat /native", "layers:130": "ls /layers | wc -l",
              "filesystem:1": "cat /t/replaced; ls -a /t /t/opaque"}
    names = {}
    for image, script in images.items():
        name = image.replace(":", "-")
        names[image] = name
        env.apply(env.pod(name, restartPolicy="Never", containers=[env.container(
            image=image, command=["sh", "-c", script])]))
    expected = {"compression:gzip": "gzip", "compression:zstd": "zstd", "compression:plain": "plain",
                "multiarch:oci": "oci", "multiarch:docker": "docker", "layers:130": "10"}
    for image, name in names.items():
        pod, state = wait_ended(env, name)
        assert state and state["exitCode"] == 0, (image, pod["status"], env.logs_of(name))
        if image in expected:
            assert env.logs_of(name).strip() == expected[image], (image, env.logs_of(name))
    shown = env.logs_of("filesystem-1").split()
    assert shown[0] == "new" and "removed" not in shown and "gone" not in shown, shown
    assert "hidden" not in shown and "only" in shown, shown


def test_image_that_is_not_there(env):
    env.node()
    env.apply(env.pod("missing", image="busybox:no-such-tag"))
    seen = set()

    def backing_off(pod):
        waiting = statuses(pod).get("main", {}).get("state", {}).get("waiting", {})
        seen.add(waiting.get("reason"))
        return waiting.get("reason") == "ImagePullBackOff"
    env.wait_for("pods/missing", backing_off)
    assert "ErrImagePull" in seen, seen
    assert any(r == "Failed" and "no-such-tag" in m for r, m in env.events("missing"))


def test_init_containers_run_first(env):
    env.node()
    mount = [{"name": "shared", "mountPath": "/shared"}]
    env.apply(env.pod("ordered", restartPolicy="Never",
                      initContainers=[shell(env, "echo one >> /shared/log", "one", volumeMounts=mount),
                                      shell(env, "echo two >> /shared/log", "two", volumeMounts=mount)],
                      containers=[shell(env, "echo main >> /shared/log; cat /shared/log",
                                        volumeMounts=mount)],
                      volumes=[{"name": "shared", "emptyDir": {"medium": "Memory"}}]))
    _, state = wait_ended(env, "ordered")
    assert state["exitCode"] == 0, state
    assert env.logs_of("ordered").split() == ["one", "two", "main"]


def test_volumes_and_environment(env):
    env.node()
    env.kubectl("create", "configmap", "settings", "--from-literal=color=blue")
    env.kubectl("create", "secret", "generic", "keys", "--from-literal=token=s3cret")
    container = shell(
        env, "cat /config/color /secret/token /down/name; echo; ls -l /secret/..data/token; "
        "echo $COLOR $TOKEN $NAME $IP $CPU; head -c 10 $SA/token; echo; cat $SA/namespace; "
        "touch /config/x 2>&1; id -u",
        env=[{"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
             {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
             {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
             {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
             {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu",
                                                               "divisor": "1m"}}},
             {"name": "SA", "value": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        resources={"limits": {"cpu": "250m", "memory": "64Mi"}},
        volumeMounts=[{"name": n, "mountPath": f"/{n}"} for n in ("config", "secret", "down")])
    env.apply(env.pod("given", restartPolicy="Never", containers=[container], volumes=[
        {"name": "config", "configMap": {"name": "settings"}},
        {"name": "secret", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "down", "downwardAPI": {"items": [
            {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]))
    pod, _ = wait_ended(env, "given")
    shown = env.logs_of("given")
    assert shown.startswith("blues3cretgiven\n"), shown
    assert f"blue s3cret given {pod['status']['podIP']} 250\n" in shown, shown
    assert "-r--------" in shown and "Read-only" in shown, shown
    assert f"\n{env.ns}" in shown, shown


def test_security_defaults(env):
    env.node()
    script = ("grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; "
              "mknod /tmp/disk b 254 0 && (dd if=/tmp/disk of=/dev/null bs=1 count=1 2>&1 | tail -1); "
              "echo 1 2>&1 > /proc/sys/kernel/panic; ls /proc/1/root >/dev/null && echo own-root; "
              "ls -d /sys/firmware/* 2>/dev/null | wc -l")
    env.apply(env.pod("jailed", restartPolicy="Never", containers=[shell(
        env, script, securityContext={"allowPrivilegeEscalation": False})]))
    wait_ended(env, "jailed")
    shown = env.logs_of("jailed")
    assert "NoNewPrivs:\t1" in shown and "Seccomp:\t2" in shown, shown
    assert "00000000a80425fb" in shown, shown  # containerd's default set
    assert "not permitted" in shown and "Read-only" in shown, shown


def test_resources_become_cgroups(env):
    node = env.node()
    env.apply(env.pod("bounded", containers=[env.container(
        resources={"requests": {"cpu": "100m", "memory": "16Mi"},
                   "limits": {"cpu": "500m", "memory": "64Mi"}})]))
    env.wait_ready("pod/bounded")
    limits = set()
    for folder in node.cgroup_folders():
        for name in ("memory.limit_in_bytes", "memory.max"):
            try:
                with open(os.path.join(folder, name), encoding="ascii") as source:
                    limits.add(source.read().strip())
            except OSError:
                pass
    assert str(64 << 20) in limits, limits
    assert env.get("pod bounded")["status"]["qosClass"] == "Burstable"


def test_unsupported_is_refused_by_name(env):
    env.node()
    env.apply(env.pod("claims", containers=[env.container()], volumes=[
        {"name": "disk", "iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.a:b", "lun": 0}}]))
    pod = env.wait_for("pods/claims", lambda p: p["status"].get("phase") == "Failed")
    assert "iscsi" in pod["status"]["message"], pod["status"]


def test_delete_is_graceful_then_hard(env):
    env.node()
    env.apply(env.pod("polite", containers=[shell(
        env, "trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done")]),
        env.pod("deaf", containers=[shell(env, "trap '' TERM; while :; do sleep 0.1; done")]))
    env.wait_ready("pod/polite")
    env.wait_ready("pod/deaf")
    env.delete("pod polite", timeout=15)
    env.delete("pod deaf", "--grace-period=1", timeout=15)
    env.apply(env.pod("forced", containers=[shell(env, "trap '' TERM; sleep 1000")]))
    env.wait_ready("pod/forced")
    env.delete("pod forced", "--force", "--grace-period=0", timeout=15)


def test_host_files(env):
    env.node()
    env.apply(env.pod("names", restartPolicy="Never", hostname="myhost", subdomain="sub", containers=[
        shell(env, "cat /etc/hosts /etc/resolv.conf; hostname; hostname -f")],
        hostAliases=[{"ip": "192.0.2.7", "hostnames": ["alias.example"]}]))
    pod, _ = wait_ended(env, "names")
    shown = env.logs_of("names")
    assert re.search(rf"{re.escape(pod['status']['podIP'])}\s+myhost.sub.{env.ns}.svc.cluster.local",
                     shown), shown
    assert "192.0.2.7\talias.example" in shown and "nameserver 10.96.0.10" in shown, shown
    assert f"search {env.ns}.svc.cluster.local svc.cluster.local cluster.local" in shown, shown


def test_kubelet_lists_the_pods(env):
    node = env.node()
    env.apply(env.pod("listed"))
    env.wait_ready("pod/listed")
    listed = json.loads(node.get("/pods")[1])["items"]
    assert "listed" in [p["metadata"]["name"] for p in listed]
    text = node.get("/metrics/resource")[1]
    assert re.search(r'pod_memory_working_set_bytes\{[^}]*pod="listed"', text), text[:2000]


if __name__ == "__main__":
    harness.main()

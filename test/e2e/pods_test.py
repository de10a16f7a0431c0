#!/usr/bin/env python3
"""One pod's life on a real API server: Ready, logs, exec, its files, its end."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402


def status(env, pod):
    return env.get(f"pod {pod}")["status"]


def shell(script, image="busybox:1", **fields):
    return {"image": image, "command": ["sh", "-c", script], **fields}


def test_node_registers_with_what_it_is(env):
    env.node()
    node = env.get("node n1")
    taints = node["spec"]["taints"]
    assert {"key": "virtual-kubelet.io/provider", "value": "burstlet", "effect": "NoSchedule"} in taints, taints
    assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
    info = node["status"]["nodeInfo"]
    assert info["kubeletVersion"].startswith("v1.37"), info
    assert info["kernelVersion"] == os.uname().release, info
    assert int(node["status"]["capacity"]["cpu"]) == len(os.sched_getaffinity(0))
    assert {"type": "InternalIP", "address": env.nodes["n1"].ip} in node["status"]["addresses"]
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == env.nodes["n1"].port
    lease = env.kubectl("get", "lease", "n1", "-n", "kube-node-lease", "-o", "jsonpath={.spec.holderIdentity}")
    assert lease == "n1", lease


def test_pod_becomes_ready_and_serves(env):
    env.node()
    env.apply(env.pod("web", image="web:1"))
    env.wait_ready("pod/web")
    now = status(env, "web")
    assert now["phase"] == "Running" and now["hostIP"] == env.nodes["n1"].ip, now
    assert now["containerStatuses"][0]["containerID"].startswith("burstlet://"), now
    assert "sha256:" in now["containerStatuses"][0]["imageID"], now
    page = env.fetch(f"http://{now['podIP']}/")
    assert "hello from web" in page, page


def test_logs_of_a_container(env):
    env.node()
    env.apply(env.pod("talk", **shell("echo one; echo two >&2; printf three; exec sleep 1000")))
    env.wait_ready("pod/talk")
    env.wait_for("pods/talk", lambda p: True)
    assert "one\ntwo" in env.logs_of("talk"), env.logs_of("talk")
    assert env.logs_of("talk", "--tail=1").strip() in ("two", "three")
    stamped = env.logs_of("talk", "--timestamps")
    assert stamped.split()[0].endswith("Z") and "T" in stamped.split()[0], stamped


def test_logs_follow_until_the_end(env):
    env.node()
    env.apply(env.pod("count", restartPolicy="Never", **shell("for i in 1 2 3; do echo $i; sleep 0.2; done")))
    env.wait("pod/count", "jsonpath={.status.startTime}")
    env.wait_for("pods/count", lambda p: p["status"].get("phase") in ("Running", "Succeeded"))
    assert env.logs_of("count", "-f") == "1\n2\n3\n"


def test_logs_of_the_run_before(env):
    env.node()
    env.apply(env.pod("again", **shell("echo run; exit 3")))
    env.wait_for("pods/again", lambda p: any(
        c["restartCount"] >= 1 for c in p["status"].get("containerStatuses", [])))
    assert env.logs_of("again", "--previous") == "run\n"


def test_exec_with_streams_and_exit_code(env):
    env.node()
    env.apply(env.pod("box", **shell("exec sleep 1000")))
    env.wait_ready("pod/box")
    assert env.exec("box", "echo", "hi") == "hi\n"
    assert env.exec("box", "cat", args=("-i",), stdin="through\n") == "through\n"
    try:
        env.exec("box", "sh", "-c", "echo bad >&2; exit 7")
    except harness.CommandError as error:
        assert error.status == 7 and "bad" in error.stderr, error
    else:
        raise AssertionError("the exit code was lost")
    big = env.exec("box", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
    assert len(big) == 3000000, len(big)


def test_exec_of_what_is_not_there(env):
    env.node()
    env.apply(env.pod("box", **shell("exec sleep 1000")))
    env.wait_ready("pod/box")
    try:
        env.exec("box", "/no/such/program")
    except harness.CommandError as error:
        assert "no such file" in error.stderr.lower() or "not found" in error.stderr.lower(), error.stderr
    else:
        raise AssertionError("it ran")


def test_delete_ends_the_pod_and_leaves_nothing(env):
    node = env.node()
    env.apply(env.pod("gone", image="web:1"))
    env.wait_ready("pod/gone")
    uid = env.get("pod gone")["metadata"]["uid"]
    env.delete("pod gone")
    harness.until(lambda: not os.path.exists(f"{node.root_dir}/pods/{uid}"), 10, "the pod's directory is gone")
    harness.until(lambda: not os.path.exists(f"{node.root_dir}/sandboxes/{uid}"), 10, "the sandbox is gone")
    assert not [f for f in node.cgroup_folders() if uid in f], node.cgroup_folders()


def test_delete_kills_what_does_not_listen(env):
    env.node()
    env.apply(env.pod("deaf", terminationGracePeriodSeconds=1, **shell("trap '' TERM; while :; do sleep 1; done")))
    env.wait_ready("pod/deaf")
    env.delete("pod deaf", timeout=30)


def test_force_delete_leaves_nothing(env):
    node = env.node()
    env.apply(env.pod("forced", image="web:1"))
    env.wait_ready("pod/forced")
    uid = env.get("pod forced")["metadata"]["uid"]
    env.delete("pod forced", "--grace-period=0", "--force")
    harness.until(lambda: not os.path.exists(f"{node.root_dir}/pods/{uid}"), 20, "the pod's directory is gone")


def test_same_name_again_is_another_pod(env):
    env.node()
    for _ in range(3):
        env.apply(env.pod("twin", image="web:1"))
        env.wait_ready("pod/twin")
        env.delete("pod twin", "--grace-period=0", "--force")


def test_events_tell_the_story(env):
    env.node()
    env.apply(env.pod("story", image="pause:3.10"))
    env.wait_ready("pod/story")
    want = {"Scheduled", "Created", "Started", "Pulled"}
    harness.until(lambda: want <= {reason for reason, _ in env.events("story")}, 15, f"events {want}")


def test_init_containers_run_in_order(env):
    env.node()
    first = env.container("first", "busybox:1", command=["sh", "-c", "echo 1 >> /d/order"],
                          volumeMounts=[{"name": "d", "mountPath": "/d"}])
    second = env.container("second", "busybox:1", command=["sh", "-c", "echo 2 >> /d/order"],
                           volumeMounts=[{"name": "d", "mountPath": "/d"}])
    main = env.container("main", "busybox:1", command=["sh", "-c", "cat /d/order; exec sleep 1000"],
                         volumeMounts=[{"name": "d", "mountPath": "/d"}])
    env.apply(env.pod("order", containers=[main], initContainers=[first, second],
                      volumes=[{"name": "d", "emptyDir": {}}]))
    env.wait_ready("pod/order")
    harness.until(lambda: env.logs_of("order", "-c", "main") == "1\n2\n", 10, "main saw both")
    states = status(env, "order")["initContainerStatuses"]
    assert [s["state"]["terminated"]["reason"] for s in states] == ["Completed", "Completed"], states


def test_failed_init_container_fails_a_pod_that_may_not_restart(env):
    env.node()
    bad = env.container("bad", "busybox:1", command=["sh", "-c", "exit 5"])
    env.apply(env.pod("broken", restartPolicy="Never", initContainers=[bad]))
    env.wait_for("pods/broken", lambda p: p["status"].get("phase") == "Failed")
    assert status(env, "broken")["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 5


def test_crash_loop_backs_off(env):
    env.node()
    env.apply(env.pod("crash", **shell("exit 1")))
    pod = env.wait_for("pods/crash", lambda p: any(
        c.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        for c in p["status"].get("containerStatuses", [])), 60)
    container = pod["status"]["containerStatuses"][0]
    assert "back-off" in container["state"]["waiting"]["message"], container
    assert container["lastState"]["terminated"]["exitCode"] == 1, container
    assert pod["status"]["phase"] == "Running", pod["status"]["phase"]


def test_exit_codes_signals_and_messages(env):
    env.node()
    env.apply(env.pod("code", restartPolicy="Never",
                      **shell("echo because > /dev/termination-log; exit 42")),
              env.pod("killed", restartPolicy="Never", shareProcessNamespace=True,
                      **shell("sh -c 'kill -9 $PPID'; sleep 100")))
    code = env.wait_for("pods/code", lambda p: p["status"].get("phase") == "Failed")
    ended = code["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 42 and ended["message"] == "because\n" and ended["reason"] == "Error", ended
    assert ended["startedAt"] and ended["finishedAt"], ended
    killed = env.wait_for("pods/killed", lambda p: p["status"].get("phase") == "Failed")
    ended = killed["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 137, ended


def test_out_of_memory_is_told(env):
    env.node()
    main = env.container("main", "tools:1", command=["/eat", "100"], resources={"limits": {"memory": "32Mi"}})
    env.apply(env.pod("hungry", restartPolicy="Never", containers=[main]))
    pod = env.wait_for("pods/hungry", lambda p: p["status"].get("phase") == "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["reason"] == "OOMKilled" and ended["exitCode"] == 137, ended


def test_program_that_is_not_there(env):
    env.node()
    env.apply(env.pod("nothing", command=["/no/such"], image="busybox:1", restartPolicy="Never"))
    pod = env.wait_for("pods/nothing", lambda p: p["status"].get("phase") == "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["reason"] == "StartError" and ended["exitCode"] == 128 and "/no/such" in ended["message"], ended


def test_environment_from_everywhere(env):
    env.node()
    env.kubectl("create", "configmap", "c", "--from-literal=color=blue", "--from-literal=size=9")
    env.kubectl("create", "secret", "generic", "s", "--from-literal=key=hidden")
    main = env.container("main", "busybox:1", command=["sh", "-c", "env; exec sleep 1000"], envFrom=[
        {"configMapRef": {"name": "c"}, "prefix": "CM_"}], env=[
        {"name": "PLAIN", "value": "a"}, {"name": "BOTH", "value": "$(PLAIN)-$(PLAIN)-$$(PLAIN)"},
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "color"}}},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}}],
        resources={"limits": {"cpu": "250m", "memory": "64Mi"}})
    env.apply(env.pod("env", containers=[main]))
    env.wait_ready("pod/env")
    ip = status(env, "env")["podIP"]
    harness.until(lambda: "HOSTNAME" in env.logs_of("env") or "CPU=" in env.logs_of("env"), 10, "env printed")
    got = dict(line.split("=", 1) for line in env.logs_of("env").splitlines() if "=" in line)
    want = {"PLAIN": "a", "BOTH": "a-a-$(PLAIN)", "COLOR": "blue", "KEY": "hidden", "NAME": "env", "IP": ip,
            "CPU": "250", "CM_size": "9", "KUBERNETES_SERVICE_PORT": "443"}
    assert want.items() <= got.items(), got


def test_missing_config_map_waits_and_heals(env):
    env.node()
    main = env.container("main", "pause:3.10", env=[
        {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "x"}}}])
    env.apply(env.pod("wait", containers=[main]))
    env.wait_for("pods/wait", lambda p: any(
        c.get("state", {}).get("waiting", {}).get("reason") == "CreateContainerConfigError"
        for c in p["status"].get("containerStatuses", [])))
    env.kubectl("create", "configmap", "late", "--from-literal=x=1")
    env.wait_ready("pod/wait")


def test_volumes_of_the_api(env):
    env.node()
    env.kubectl("create", "configmap", "c", "--from-literal=a.txt=first")
    env.kubectl("create", "secret", "generic", "s", "--from-literal=b.txt=second")
    mounts = [{"name": n, "mountPath": f"/v/{n}"} for n in ("c", "s", "d", "p", "h")]
    main = env.container("main", "busybox:1", command=["sleep", "1000"], volumeMounts=mounts)
    env.apply(env.pod("vols", labels={"tier": "x"}, containers=[main], volumes=[
        {"name": "c", "configMap": {"name": "c", "defaultMode": 0o440}},
        {"name": "s", "secret": {"secretName": "s", "items": [{"key": "b.txt", "path": "deep/b", "mode": 0o400}]}},
        {"name": "d", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "p", "projected": {"sources": [
            {"configMap": {"name": "c"}}, {"secret": {"name": "s"}},
            {"serviceAccountToken": {"path": "token", "audience": "somebody", "expirationSeconds": 3600}}]}},
        {"name": "h", "hostPath": {"path": "/etc", "type": "Directory"}}]))
    env.wait_ready("pod/vols")
    read = lambda path: env.exec("vols", "cat", path)  # noqa: E731
    assert read("/v/c/a.txt") == "first" and read("/v/s/deep/b") == "second"
    assert 'tier="x"' in read("/v/d/labels")
    assert read("/v/p/a.txt") == "first" and read("/v/p/token").count(".") == 2
    assert "root:" in read("/v/h/passwd")
    assert read("/var/run/secrets/kubernetes.io/serviceaccount/namespace") == env.ns
    assert env.exec("vols", "stat", "-Lc", "%a", "/v/c/a.txt").strip() == "440"
    env.kubectl("patch", "configmap", "c", "-p", '{"data":{"a.txt":"changed"}}')
    harness.until(lambda: read("/v/c/a.txt") == "changed" and read("/v/p/a.txt") == "changed", 30,
                  "the update reaches the volume")


def test_empty_dir_is_shared_and_bounded(env):
    env.node()
    mount = [{"name": "m", "mountPath": "/m"}, {"name": "d", "mountPath": "/d"}]
    one = env.container("one", "busybox:1", volumeMounts=mount,
                        command=["sh", "-c", "echo x > /m/f; echo y > /d/f; exec sleep 1000"])
    two = env.container("two", "busybox:1", volumeMounts=mount, command=["sleep", "1000"])
    env.apply(env.pod("share", containers=[one, two], volumes=[
        {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, {"name": "d", "emptyDir": {}}]))
    env.wait_ready("pod/share")
    harness.until(lambda: env.exec("share", "cat", "/d/f", args=("-c", "two"), check=False) == "y\n", 10, "shared")
    assert env.exec("share", "cat", "/m/f", args=("-c", "two")) == "x\n"
    assert "tmpfs" in env.exec("share", "sh", "-c", "grep ' /m ' /proc/mounts", args=("-c", "two"))
    try:
        env.exec("share", "sh", "-c", "head -c 3000000 /dev/zero > /m/big", args=("-c", "one"))
    except harness.CommandError as error:
        assert "space" in error.stderr or "I/O error" in error.stderr, error.stderr
    else:
        raise AssertionError("more than the limit was written")


def test_names_and_resolver(env):
    env.node()
    env.apply(env.pod("named", hostname="box", subdomain="sub",
                      hostAliases=[{"ip": "10.1.2.3", "hostnames": ["alias.test"]}],
                      dnsConfig={"options": [{"name": "ndots", "value": "2"}]}, **shell("exec sleep 1000")))
    env.wait_ready("pod/named")
    assert env.exec("named", "hostname").strip() == "box"
    hosts = env.exec("named", "cat", "/etc/hosts")
    assert "10.1.2.3\talias.test" in hosts and f"box.sub.{env.ns}.svc.cluster.local" in hosts, hosts
    resolv = env.exec("named", "cat", "/etc/resolv.conf")
    assert "nameserver 10.96.0.10" in resolv and f"{env.ns}.svc.cluster.local" in resolv, resolv
    assert "ndots:2" in resolv, resolv


def test_resources_reach_the_cgroup(env):
    env.node()
    main = env.container("main", "busybox:1", command=["sleep", "1000"],
                         resources={"requests": {"cpu": "100m", "memory": "32Mi"},
                                    "limits": {"cpu": "500m", "memory": "64Mi"}})
    env.apply(env.pod("limits", containers=[main]))
    env.wait_ready("pod/limits")
    assert status(env, "limits")["qosClass"] == "Burstable"
    text = env.exec("limits", "sh", "-c",
                    "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true")
    assert str(64 << 20) in text, text


def test_pods_reach_each_other_and_the_node(env):
    env.node()
    env.apply(env.pod("server", image="web:1"), env.pod("client", **shell("exec sleep 1000")))
    env.wait_ready("pod/server pod/client")
    ip = status(env, "server")["podIP"]
    assert "hello from server" in env.exec("client", "wget", "-qO-", f"http://{ip}/")


def test_host_network_and_host_port(env):
    env.node()
    ported = env.container("main", "web:1", ports=[{"containerPort": 80, "hostPort": 8099}])
    own = env.container("main", "web:1", env=[{"name": "PORT", "value": "8098"}])
    env.apply(env.pod("ported", containers=[ported]), env.pod("hosted", containers=[own], hostNetwork=True))
    env.wait_ready("pod/ported pod/hosted")
    node = env.nodes["n1"]
    assert "hello from ported" in env.fetch(f"http://{node.ip}:8099/")
    assert "hello from" in env.fetch(f"http://{node.ip}:8098/")
    assert status(env, "hosted")["podIP"] == node.ip


def test_security_defaults(env):
    env.node()
    env.apply(env.pod("safe", **shell("exec sleep 1000")),
              env.pod("user", securityContext={"runAsUser": 1234, "runAsGroup": 99, "fsGroup": 77},
                      **shell("exec sleep 1000")))
    env.wait_ready("pod/safe pod/user")
    capabilities = env.exec("safe", "sh", "-c", "grep -E 'CapBnd|CapAmb|Seccomp:' /proc/self/status")
    assert "CapBnd:\t00000000a80425fb" in capabilities, capabilities
    assert "Seccomp:\t2" in capabilities, capabilities
    assert env.exec("safe", "sh", "-c", "cat /proc/kcore | head -c1 | wc -c").strip() == "0"
    identity = env.exec("user", "id")
    assert "uid=1234" in identity and "gid=99" in identity and "77" in identity, identity


def test_a_field_that_is_not_supported_is_refused_by_name(env):
    env.node()
    env.apply(env.pod("odd", nodeName="n1", volumes=[
        {"name": "v", "iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:x", "lun": 0}}]))
    pod = env.wait_for("pods/odd", lambda p: p["status"].get("phase") == "Failed")
    assert "iscsi" in pod["status"]["message"], pod["status"]


def test_a_pod_too_large_is_refused_as_a_kubelet_does(env):
    env.node()
    main = env.container("main", "pause:3.10", resources={"requests": {"cpu": "1000"}})
    env.apply(env.pod("huge", nodeName="n1", containers=[main]))
    pod = env.wait_for("pods/huge", lambda p: p["status"].get("phase") == "Failed")
    assert pod["status"]["reason"] == "OutOfcpu", pod["status"]


def test_active_deadline(env):
    env.node()
    env.apply(env.pod("late", activeDeadlineSeconds=2, **shell("exec sleep 1000")))
    pod = env.wait_for("pods/late", lambda p: p["status"].get("phase") == "Failed", 30)
    assert pod["status"]["reason"] == "DeadlineExceeded", pod["status"]


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""Security contexts as kubectl sees them: user namespaces, seccomp and AppArmor profiles, what a node does by default."""

import json
import os
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

SHELL = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]


def mapped(env, name, containers=None, **spec):
    return env.pod(name, image="busybox:1", command=None if containers else SHELL, containers=containers,
                   hostUsers=False, **spec)


def ids_of(env, pod, **keywords):
    """First id of the host and how many, of a pod's user namespace."""
    inside, outside, count = env.exec(pod, "cat", "/proc/self/uid_map", **keywords).split()
    assert inside == "0", (inside, outside, count)
    return int(outside), int(count)


def pod_dir(env, node, pod):
    return os.path.join(node.root_dir, "pods", env.get(f"pod {pod}")["metadata"]["uid"])


def status_line(env, pod, key):
    text = env.exec(pod, "cat", "/proc/self/status")
    return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(key + ":"))


def test_the_node_declares_what_it_can(env):
    env.node()
    status = env.get("node n1")["status"]
    features = {h.get("name", ""): h["features"] for h in status["runtimeHandlers"]}[""]
    assert features == {"recursiveReadOnlyMounts": True, "userNamespaces": True}, features
    assert status["features"] == {"supplementalGroupsPolicy": True}, status["features"]


def test_two_pods_with_user_namespaces_share_no_ids(env):
    node = env.node()
    env.apply(mapped(env, "a"), mapped(env, "b"), env.pod("plain", image="busybox:1", command=SHELL))
    env.wait_ready("pod/a pod/b pod/plain")
    (first, count), (second, _) = ids_of(env, "a"), ids_of(env, "b")
    assert count == 65536 and first % 65536 == 0 and first > 0 and second % 65536 == 0, (first, second, count)
    assert first != second
    assert ids_of(env, "plain")[0] == 0
    assert env.exec("a", "id", "-u") == "0\n"
    # Root in there is nobody of the host's: seen from outside, by the owner of its processes and of what it writes.
    env.exec("a", "touch", "/written")
    uid = env.get("pod a")["metadata"]["uid"]
    upper = os.path.join(node.root_dir, "sandboxes", uid, "containers")
    owner = [os.stat(os.path.join(upper, c, "upper", "written")).st_uid for c in os.listdir(upper)]
    assert owner == [first], owner


def test_volumes_of_a_mapped_pod_are_its_own(env):
    node = env.node()
    host = os.path.join(env.dir, "host-volume")
    os.mkdir(host)
    with open(os.path.join(host, "given"), "w", encoding="utf-8") as out:
        out.write("from the node\n")
    os.chown(os.path.join(host, "given"), 1000, 3000)
    mounts = {"config": "/config", "secret": "/secret", "down": "/down", "disk": "/disk", "memory": "/memory",
              "host": "/host"}
    env.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"key": "config value"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "secret value"}},
        mapped(env, "v", securityContext={"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000},
               containers=[env.container(image="busybox:1", command=SHELL,
                                         volumeMounts=[{"name": n, "mountPath": p} for n, p in mounts.items()])],
               volumes=[{"name": "config", "configMap": {"name": "c"}},
                        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o440}},
                        {"name": "down", "downwardAPI": {"items": [
                            {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                        {"name": "disk", "emptyDir": {}},
                        {"name": "memory", "emptyDir": {"medium": "Memory"}},
                        {"name": "host", "hostPath": {"path": host}}]))
    env.wait_ready("pod/v")
    read = env.exec("v", "cat", "/config/key", "/secret/key", "/down/name", "/host/given", "/etc/hosts",
                    "/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    for part in ("config value", "secret value", "v", "from the node", "localhost", env.ns):
        assert part in read, (part, read)
    env.exec("v", "sh", "-c", "echo mine > /disk/f && echo mine > /memory/f && echo bye > /dev/termination-log")
    seen = env.exec("v", "stat", "-c", "%u:%g", "/disk/f", "/memory/f", "/host/given", "/secret/..data/key", "/disk")
    assert seen.split() == ["1000:3000", "1000:3000", "1000:3000", "0:3000", "0:3000"], seen
    # On the disk ids are unshifted, as the kubelet leaves them for whoever mounts the volume next.
    disk = os.path.join(pod_dir(env, node, "v"), "volumes", "kubernetes.io~empty-dir", "disk", "f")
    found = os.stat(disk)
    assert (found.st_uid, found.st_gid) == (1000, 3000), found
    try:
        env.exec("v", "sh", "-c", "echo x > /config/key")
        raise AssertionError("a config map was written to")
    except harness.CommandError as error:
        assert "Read-only file system" in str(error), error


def test_commands_terminals_and_restarts_stay_in_the_user_namespace(env):
    node = env.node()
    env.apply(mapped(env, "r", containers=[
        env.container("main", image="busybox:1", command=SHELL),
        env.container("other", image="busybox:1", command=["sh", "-c", "while [ ! -e /end ]; do sleep 0.1; done; exit 3"])]))
    env.wait_ready("pod/r")
    before = ids_of(env, "r", args=("-c", "main"))
    assert ids_of(env, "r", args=("-c", "other")) == before
    assert env.exec("r", "sh", "-c", "cat /proc/self/uid_map; id -u; touch /dev/shm/x; stat -c %u /dev/shm/x",
                    args=("-c", "main")).split()[3:] == ["0", "0"]
    node.restart()
    env.wait_ready("pod/r")
    assert ids_of(env, "r", args=("-c", "main")) == before, "another range after a restart of the agent"
    env.exec("r", "touch", "/end", args=("-c", "other"))
    env.wait_for("pods/r", lambda p: any(
        s["name"] == "other" and s["restartCount"] == 1 and "running" in s["state"]
        for s in p["status"]["containerStatuses"]))
    assert ids_of(env, "r", args=("-c", "other")) == before
    env.apply(mapped(env, "next"))
    env.wait_ready("pod/next")
    assert ids_of(env, "next")[0] != before[0]


def test_an_unmasked_proc_and_network_rights_are_the_mapped_pods(env):
    env.node()
    env.apply(mapped(env, "u", containers=[env.container(image="busybox:1", command=SHELL, securityContext={
        "procMount": "Unmasked", "capabilities": {"add": ["NET_ADMIN"]}})]))
    env.wait_ready("pod/u")
    mounts = env.exec("u", "cat", "/proc/self/mountinfo")
    assert " /proc/sys " not in mounts and " /proc/kcore " not in mounts, mounts
    env.exec("u", "ip", "link", "set", "lo", "mtu", "9000")
    assert " mtu 9000 " in env.exec("u", "ip", "link", "show", "lo")


def test_supplementary_groups_follow_the_policy_and_are_told(env):
    """The image's user tester (1234:2345) is in its group 3456, too."""
    env.node()
    for name, policy in (("merge", "Merge"), ("silent", None), ("strict", "Strict")):
        context = {"supplementalGroups": [7777], "fsGroup": 8888, **({"supplementalGroupsPolicy": policy} if policy else {})}
        main = {"name": "main", "image": env.image("configured:1"), "imagePullPolicy": "IfNotPresent", "workingDir": "/",
                "command": ["/show"]}
        env.apply(env.pod(name, containers=[main], securityContext=context))
    env.wait_ready("pod/merge pod/silent pod/strict")
    for name in ("merge", "silent", "strict"):
        groups = {2345, 7777, 8888} | ({3456} if name != "strict" else set())
        shown = next(line.split()[1:] for line in env.logs_of(name).splitlines() if line.startswith("groups"))
        assert {int(g) for g in shown} | {2345} == groups, (name, shown)
        user = env.get(f"pod {name}")["status"]["containerStatuses"][0]["user"]["linux"]
        assert (user["uid"], user["gid"], set(user["supplementalGroups"])) == (1234, 2345, groups), (name, user)


def test_a_user_stays_who_it_is_over_restarts(env):
    """CVE-2019-11245: the second run of a container was root's."""
    node = env.node()
    for name, context in (("image", {}), ("given", {"runAsUser": 4321}), ("strict", {"runAsNonRoot": True})):
        main = {"name": "main", "image": env.image("nonroot:1"), "imagePullPolicy": "IfNotPresent",
                "command": ["/show", "--once"]}
        env.apply(env.pod(name, containers=[main], securityContext=context))
    ran = lambda count: lambda p: (p["status"].get("containerStatuses") or [{}])[0].get("restartCount", 0) >= count  # noqa: E731
    for name in ("image", "given", "strict"):
        env.wait_for(f"pods/{name}", ran(1))
    node.restart()
    for name, uid in (("image", 1234), ("given", 4321), ("strict", 1234)):
        env.wait_for(f"pods/{name}", ran(2))
        for arguments in ((), ("--previous",)):
            assert f"\nuid {uid}\n" in env.logs_of(name, *arguments), (name, arguments)
        assert env.get(f"pod {name}")["status"]["containerStatuses"][0]["user"]["linux"]["uid"] == uid


def test_a_local_seccomp_profile_is_applied(env):
    node = env.node()
    folder = os.path.join(node.root_dir, "seccomp", "profiles")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "no-mkdir.json"), "w", encoding="utf-8") as out:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW",
                   "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
                                {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO",
                                 "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]}, out)
    env.apply(env.pod("local", image="busybox:1", command=SHELL, securityContext={
        "seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/no-mkdir.json"}}))
    env.wait_ready("pod/local")
    text = env.exec("local", "sh", "-c", "mkdir /tmp/x 2>&1; chmod 700 /tmp 2>&1; mknod /tmp/null c 1 3 && echo made")
    assert "No space left" in text and "Operation not permitted" in text and "made" in text, text
    assert status_line(env, "local", "Seccomp") == "2"


def test_a_seccomp_profile_that_is_missing_or_broken_is_named(env):
    node = env.node()
    folder = os.path.join(node.root_dir, "seccomp")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "broken.json"), "w", encoding="utf-8") as out:
        out.write('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_PANIC"}]}')
    for name in ("missing", "broken"):
        env.apply(env.pod(name, image="busybox:1", command=SHELL, securityContext={
            "seccompProfile": {"type": "Localhost", "localhostProfile": f"{name}.json"}}))
    for name, why in (("missing", f"{folder}/missing.json"), ("broken", "SCMP_ACT_PANIC")):
        pod = env.wait_for(f"pods/{name}", lambda p: (p["status"].get("containerStatuses") or [{}])[0].get(
            "state", {}).get("waiting", {}).get("reason") == "CreateContainerError")
        message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        assert why in message, message


def test_apparmor_is_refused_by_a_kernel_without_it(env):
    env.node()
    try:
        with open("/sys/module/apparmor/parameters/enabled", encoding="utf-8") as source:
            if source.read().startswith("Y"):
                raise harness.Skip("this kernel has AppArmor")
    except FileNotFoundError:
        pass
    env.apply(env.pod("free", image="busybox:1", command=SHELL, securityContext={
        "appArmorProfile": {"type": "Unconfined"}}))
    env.apply(env.pod("default", image="busybox:1", command=SHELL, securityContext={
        "appArmorProfile": {"type": "RuntimeDefault"}}))
    env.wait_ready("pod/free")
    pod = env.wait_for("pods/default", lambda p: p["status"].get("phase") == "Failed")
    assert pod["status"]["reason"] == "AppArmor", pod["status"]
    assert "Cannot enforce AppArmor: AppArmor is not enabled on the host" in pod["status"]["message"], pod["status"]


def test_a_node_may_give_every_pod_a_user_namespace(env):
    env.node("n2", config={"podDefaults": {"hostUsers": False, "allowPrivilegeEscalation": False}})

    def there(name, **spec):
        return env.pod(name, image="busybox:1", nodeName="n2", **spec)

    env.apply(there("silent", command=SHELL), there("asks", command=SHELL, hostUsers=True),
              there("host", command=SHELL, hostNetwork=True),
              there("privileged", containers=[env.container(image="busybox:1", command=SHELL,
                                                            securityContext={"privileged": True})]))
    env.wait_ready("pod/silent pod/asks pod/host pod/privileged")
    assert ids_of(env, "silent")[0] > 0
    assert [ids_of(env, name)[0] for name in ("asks", "host", "privileged")] == [0, 0, 0]
    assert [status_line(env, name, "NoNewPrivs") for name in ("silent", "privileged")] == ["1", "0"]


def test_a_host_path_reaches_nothing_above_and_a_read_only_one_nothing_below(env):
    env.node()
    outer = os.path.join(env.dir, "outer")
    os.makedirs(os.path.join(outer, "shared", "inner"))
    with open(os.path.join(outer, "secret"), "w", encoding="utf-8") as out:
        out.write("not for pods\n")
    os.symlink("../secret", os.path.join(outer, "shared", "up"))
    os.symlink(os.path.join(outer, "secret"), os.path.join(outer, "shared", "absolute"))
    os.mkfifo(os.path.join(outer, "shared", "pipe"))
    assert stat.S_ISFIFO(os.stat(os.path.join(outer, "shared", "pipe")).st_mode)
    env.apply(env.pod("h", containers=[env.container(image="busybox:1", command=SHELL, volumeMounts=[
        {"name": "v", "mountPath": "/v"},
        {"name": "v", "mountPath": "/ro", "readOnly": True, "recursiveReadOnly": "Enabled"}])],
        volumes=[{"name": "v", "hostPath": {"path": os.path.join(outer, "shared")}}]))
    env.wait_ready("pod/h")
    text = env.exec("h", "sh", "-c", "cat /v/up /v/absolute 2>&1; ls /v/..; touch /ro/x /ro/inner/x 2>&1; "
                                     "ln /v/up /v/hard 2>&1; touch /v/fine && echo fine")
    assert "not for pods" not in text and text.count("Read-only file system") == 2 and "fine" in text, text
    assert not os.path.exists(os.path.join(outer, "hard"))
    for path in ("up", "absolute"):
        env.apply(env.pod(f"sub-{path}", containers=[env.container(image="busybox:1", command=SHELL, volumeMounts=[
            {"name": "v", "mountPath": "/v", "subPath": path}])],
            volumes=[{"name": "v", "hostPath": {"path": os.path.join(outer, "shared")}}]))
        env.wait_for(f"pods/sub-{path}", lambda p: (p["status"].get("containerStatuses") or [{}])[0].get(
            "state", {}).get("waiting", {}).get("reason") in ("CreateContainerError", "CreateContainerConfigError"))


def test_user_namespace_limits_are_the_mapped_pods_own(env):
    env.node("n3", config={"allowedUnsafeSysctls": ["user.max_*", "kernel.domainname"]})
    with open("/proc/sys/user/max_inotify_watches", encoding="ascii") as source:
        before = source.read()
    sysctls = [{"name": "user.max_inotify_watches", "value": "4321"}, {"name": "kernel.domainname", "value": "pods.test"}]
    env.apply(mapped(env, "limited", nodeName="n3", securityContext={"sysctls": sysctls}))
    env.wait_ready("pod/limited")
    read = env.exec("limited", "cat", "/proc/sys/user/max_inotify_watches", "/proc/sys/kernel/domainname")
    assert read.split() == ["4321", "pods.test"], read
    with open("/proc/sys/user/max_inotify_watches", encoding="ascii") as source:
        assert source.read() == before
    # Without a namespace of its own they would be the host's.
    env.apply(env.pod("host-users", image="busybox:1", command=SHELL, nodeName="n3", securityContext={"sysctls": sysctls[:1]}))
    pod = env.wait_for("pods/host-users", lambda p: p["status"].get("phase") == "Failed")
    assert pod["status"]["reason"] == "SysctlForbidden", pod["status"]
    assert '"user.max_inotify_watches" not allowed with host User enabled' in pod["status"]["message"], pod["status"]


if __name__ == "__main__":
    harness.main()

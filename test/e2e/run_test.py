#!/usr/bin/env python3
"""`burstlet run` and `burstlet check`, and what each command says to wrong input."""

import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import machine  # noqa: E402

USAGE = 2


class Here:
    """One `burstlet run`: its files, its options, its traces."""

    def __init__(self, env, name):
        self.env, self.name = env, name
        self.root_dir = os.path.join(env.dir, name)
        self.cgroup = f"/{env.id}-{name}"
        self.file = os.path.join(env.dir, f"{name}.yaml")

    def write(self, *documents):
        with open(self.file, "w", encoding="utf-8") as out:
            for document in documents:
                out.write("---\n" + (document if isinstance(document, str) else json.dumps(document)) + "\n")
        return self

    def command(self, *more):
        return [self.env.burstlet, "run", "--root-dir", self.root_dir, "--cgroup-root", self.cgroup,
                "--pod-cidr", "10.126.0.0/24", *more, self.file]

    def run(self, *more, stdin=None, timeout=60):
        return subprocess.run(self.command(*more), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=timeout, check=False)

    def start(self):
        return subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def processes(self):
        named = machine.processes(lambda pid, _: self.root_dir in machine.command_line(pid))
        return sorted({*named, *machine.cgroup_processes(self.cgroup)})

    def traces(self):
        """What of this run is still on the machine."""
        return {
            "processes": self.processes(),
            "cgroups": machine.cgroup_folders(self.cgroup),
            "mounts": machine.mounts_below(self.root_dir),
            "interfaces": [line.split()[1] for line in machine.run("ip", "-o", "link").splitlines()
                           if line.split()[1].split("@")[0].rstrip(":") not in ("lo", "node0", "node0-peer")],
            "routes": [line for line in machine.run("ip", "route").splitlines() if "10.126." in line],
            "tables": machine.run("nft", "list", "tables").splitlines(),
        }

    def remove(self):
        machine.kill_all(self.processes)
        for point in machine.mounts_below(self.root_dir):
            machine.run("umount", "-l", point, check=False)
        for line in machine.run("ip", "-o", "link").splitlines():
            name = line.split()[1].split("@")[0].rstrip(":")
            if name.startswith("bl"):
                machine.run("ip", "link", "del", name, check=False)
        machine.until(lambda: machine.remove_cgroups(self.cgroup) or not machine.cgroup_folders(self.cgroup), 5,
                      f"cgroups of {self.name} can be removed")


def here(function):
    """Decorator: the test gets a run of its own, and afterwards nothing of it may be left."""
    def test(env):
        place = Here(env, function.__name__[5:].replace("_", "-")[:24])
        try:
            function(env, place)
            left = {k: v for k, v in place.traces().items() if v}
            assert not left, f"left behind: {left}"
        finally:
            place.remove()
    test.__name__ = function.__name__
    return test


def pod(env, name, script=None, **fields):
    made = env.pod(name, restartPolicy="Never", **fields)
    if script is not None:
        made["spec"]["containers"] = [env.container(image="busybox:1", command=["sh", "-c", script])]
    return made


def one_line(result, *words, status=USAGE):
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert result.returncode == status, (result.args, result.returncode, result.stderr)
    assert len(lines) == 1 and all(word in lines[0] for word in words), (result.args, result.stderr)


def shell(*command):
    return subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=30, check=False)


def wait_line(process, text):
    """Reads the run's output until a line holds text."""
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError(f"{text!r} not in: {''.join(seen)}{process.stderr.read()}")


@here
def test_a_pod_that_succeeds(env, place):
    result = place.write(pod(env, "fine", "echo out; echo err >&2")).run()
    assert result.returncode == 0, result.stderr
    assert "out" in result.stdout and "fine/main" in result.stdout, result.stdout
    assert "err" in result.stderr and "Succeeded" in result.stderr, result.stderr


@here
def test_the_exit_code_of_a_failure(env, place):
    result = place.write(pod(env, "bad", "echo before; exit 7")).run()
    assert result.returncode == 7, (result.returncode, result.stderr)
    assert "before" in result.stdout and "Failed" in result.stderr, result.stderr


@here
def test_an_init_container_decides(env, place):
    wrong = pod(env, "init", "echo never",
                initContainers=[env.container("first", "busybox:1", command=["sh", "-c", "exit 5"])])
    result = place.write(wrong).run()
    assert result.returncode == 5 and "never" not in result.stdout, (result.returncode, result.stdout)


@here
def test_several_pods(env, place):
    result = place.write(*(pod(env, f"pod-{n}", f"echo this is {n}; exit {3 if n == 2 else 0}") for n in range(4))).run()
    assert result.returncode == 3, (result.returncode, result.stderr)
    for number in range(4):
        assert f"this is {number}" in result.stdout and f"pod-{number}/main" in result.stdout, result.stdout


@here
def test_configmaps_secrets_and_volumes_of_the_file(env, place):
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
                "data": {"colour": "blue", "shape": "round"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"token": "s3cret"}}
    main = env.container(
        image="busybox:1",
        command=["sh", "-c", 'echo "$COLOUR $TOKEN $POD"; cat /settings/shape; echo; cat /key/token; echo; '
                             'echo kept > /scratch/x; cat /scratch/x; df -T /memory | tail -1; cat /host/given'],
        env=[{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
             {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "key", "key": "token"}}},
             {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        volumeMounts=[{"name": "settings", "mountPath": "/settings"}, {"name": "key", "mountPath": "/key"},
                      {"name": "scratch", "mountPath": "/scratch"}, {"name": "memory", "mountPath": "/memory"},
                      {"name": "host", "mountPath": "/host"}])
    folder = os.path.join(env.dir, "given")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "given"), "w", encoding="ascii") as out:
        out.write("from the host\n")
    everything = pod(env, "everything", containers=[main], volumes=[
        {"name": "settings", "configMap": {"name": "settings"}}, {"name": "key", "secret": {"secretName": "key"}},
        {"name": "scratch", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "host", "hostPath": {"path": folder}}])
    result = place.write(settings, secret, everything).run()
    assert result.returncode == 0, result.stderr
    for text in ("blue s3cret everything", "round", "s3cret", "kept", "tmpfs", "from the host"):
        assert text in result.stdout, (text, result.stdout)


@here
def test_lists_binary_data_and_environment_files(env, place):
    settings = {"metadata": {"name": "settings"}, "immutable": True, "data": {"text": "plain"},
                "binaryData": {"bytes": "AAH/"}}
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "immutable": True,
           "data": {"token": "czNjcmV0"}, "stringData": {"more": "words"}}
    main = env.container(
        image="busybox:1",
        command=["sh", "-c", "cat /all/text /all/token /all/more; echo; od -An -tx1 /all/bytes; echo $MADE"],
        env=[{"name": "MADE", "valueFrom": {"fileKeyRef": {"volumeName": "files", "path": "env", "key": "MADE"}}}],
        volumeMounts=[{"name": "all", "mountPath": "/all"}])
    first = env.container("first", image="busybox:1", command=["sh", "-c", "echo \"MADE='by the first'\" > /files/env"],
                          volumeMounts=[{"name": "files", "mountPath": "/files"}])
    lister = pod(env, "lister", containers=[main], initContainers=[first], volumes=[
        {"name": "files", "emptyDir": {}},
        {"name": "all", "projected": {"sources": [{"configMap": {"name": "settings"}}, {"secret": {"name": "key"}}]}}])
    result = place.write({"apiVersion": "v1", "kind": "ConfigMapList", "items": [settings]},
                         {"apiVersion": "v1", "kind": "List", "items": [key, lister]}).run()
    assert result.returncode == 0, result.stderr
    for text in ("plains3cretwords", "00 01 ff", "by the first"):
        assert text in result.stdout, (text, result.stdout)


@here
def test_what_only_an_api_server_has_is_refused_by_name(env, place):
    volume = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    result = place.write(pod(env, "tokens", "true", volumes=[volume], serviceAccountName="cook")).run()
    one_line(result, "spec.volumes[0].projected.sources[0].serviceAccountToken", "needs an API server")
    twice = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "same"}}
    one_line(place.write(twice, twice, pod(env, "x", "true")).run(), "two ConfigMaps of that name")


@here
def test_standard_input_is_a_file(env, place):
    place.file = "-"
    result = place.run(stdin=json.dumps(pod(env, "piped", "echo piped")))
    assert result.returncode == 0 and "piped" in result.stdout, result.stderr


@here
def test_restarts_until_it_succeeds(env, place):
    again = pod(env, "again", containers=[env.container(
        image="busybox:1", command=["sh", "-c", "test -e /s/x && echo second && exit 0; touch /s/x; exit 1"],
        volumeMounts=[{"name": "s", "mountPath": "/s"}])], volumes=[{"name": "s", "emptyDir": {}}])
    again["spec"]["restartPolicy"] = "OnFailure"
    result = place.write(again).run()
    assert result.returncode == 0 and "second" in result.stdout, (result.returncode, result.stderr)


@here
def test_ctrl_c_ends_pods_within_their_grace(env, place):
    place.write(pod(env, "polite", "trap 'echo farewell; exit 0' TERM; echo up; while :; do sleep 0.1; done"))
    with place.start() as process:
        wait_line(process, "up")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert "farewell" in out, (out, err)


@here
def test_a_second_ctrl_c_ends_them_at_once(env, place):
    stubborn = pod(env, "stubborn", "trap '' TERM; echo up; while :; do sleep 1; done",
                   terminationGracePeriodSeconds=600)
    with place.write(stubborn).start() as process:
        wait_line(process, "up")
        process.send_signal(signal.SIGINT)
        for line in process.stderr:
            if "stopping" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode != 0


@here
def test_what_a_killed_run_left_ends_with_the_next(env, place):
    with place.write(pod(env, "orphan", "echo up; sleep 1000")).start() as process:
        wait_line(process, "up")
        process.kill()
        process.communicate()
    assert place.traces()["processes"]
    result = place.write(pod(env, "next", "echo next")).run()
    assert result.returncode == 0 and "next" in result.stdout, result.stderr


@here
def test_an_image_that_is_not_there_is_told(env, place):
    place.write(pod(env, "lost", containers=[env.container(image="no-such-image:1")]))
    with place.start() as process:
        seen = []
        for line in process.stderr:
            seen.append(line)
            if "no-such-image" in line and "!" in line:
                break
        else:
            raise AssertionError("".join(seen))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


@here
def test_a_pod_that_is_refused_names_its_field(env, place):
    refused = pod(env, "refused", "true")
    refused["spec"]["volumes"] = [{"name": "far", "nfs": {"server": "192.0.2.1", "path": "/"}}]
    result = place.write(refused).run()
    assert result.returncode != 0, result.stderr
    assert "spec.volumes[0].nfs" in result.stderr, result.stderr


@here
def test_wrong_files_end_with_one_line(env, place):
    head = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
    for text, *words in (
            ("a: [\n", place.file, "line"),
            (head + "spec: {containers: [{name: x, image: some, nope: 1}]}", place.file, "spec.containers[0].nope"),
            (head + "spec: {containers: [{name: X_y, image: some}]}", "spec.containers[0].name"),
            (head + "spec: {containers: []}", "spec.containers"),
            (head + "spec: {containers: [{name: x, image: some, ports: [{containerPort: 99999}]}]}", "containerPort"),
            (head + "spec: {containers: 3}", "spec.containers"),
            ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n", place.file),
            ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", "Service"),
            ("", "no pod")):
        with open(place.file, "w", encoding="utf-8") as out:
            out.write(text)
        one_line(place.run(), *words)
    os.remove(place.file)
    one_line(place.run(), place.file)
    assert not os.path.exists(place.root_dir), "wrong input made a root folder"


def test_check_tells_about_this_host(env):
    result = shell(env.burstlet, "check", "--root-dir", os.path.join(env.dir, "check"))
    assert result.returncode == 0, result.stdout + result.stderr
    lines = [line for line in result.stdout.splitlines() if not line.strip().startswith("->")]
    assert all(line.split()[0] in ("ok", "warning") for line in lines), result.stdout
    for what in ("user", "kernel", "cgroups", "overlay", "seccomp", "disk"):
        assert any(line.split()[1] == what for line in lines), (what, result.stdout)
    assert not os.path.exists(os.path.join(env.dir, "check")), "the check left something"


def test_wrong_flags_end_with_one_line(env):
    one_line(shell(env.burstlet), "command")
    one_line(shell(env.burstlet, "no-such-command"), "no-such-command")
    for verb in ("node", "run", "check"):
        one_line(shell(env.burstlet, verb, "--no-such-flag"), *(["no-such-flag"] if verb != "run" else []))
    one_line(shell(env.burstlet, "run"), "FILE")
    one_line(shell(env.burstlet, "node", "--port", "70000"), "--port")
    one_line(shell(env.burstlet, "node", "--port", "http"), "--port")
    one_line(shell(env.burstlet, "node", "--node-ip", "1.2.3"), "1.2.3")
    one_line(shell(env.burstlet, "node", "--pod-cidr", "10.0.0.0/99"), "10.0.0.0/99")
    one_line(shell(env.burstlet, "node", "--root-dir", "relative"), "--root-dir")
    assert shell(env.burstlet, "--version").stdout.startswith("burstlet ")
    assert shell(env.burstlet, "--help").returncode == 0


def test_wrong_configurations_end_with_one_line(env):
    path = os.path.join(env.dir, "wrong.yaml")
    head = "apiVersion: burstlet.io/v1alpha1\nkind: BurstletConfiguration\n"
    for text, *words in ((head + "noSuchField: 1\n", "noSuchField"), (head + "maxPods: many\n", "maxPods"),
                         (head + "podCIDR: nowhere\n", "nowhere"), (head + "kubeReserved: {cpu: -1}\n", "kubeReserved"),
                         (head + "port: 123456\n", "port"), (head + "network: carrier-pigeon\n", "carrier-pigeon"),
                         ("kind: Other\n", path), ("{\n", path)):
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        for verb in (["node"], ["check"]):
            one_line(shell(env.burstlet, *verb, "--config", path), path, *words)
    one_line(shell(env.burstlet, "node", "--config", "/no/such/file"), "/no/such/file")


def test_wrong_identities_end_with_one_line(env):
    node = env.node("n2", start=False)
    common = [env.burstlet, "node", "--root-dir", node.root_dir, "--cgroup-root", node.cgroup, "--port", "0",
              "--node-name", "n2", "--node-ip", node.ip]

    def attempt(kubeconfig=node.kubeconfig, **config):
        path = os.path.join(env.dir, "identity.yaml")
        with open(path, "w", encoding="utf-8") as out:
            json.dump({**node.config, **config, "port": 0}, out)
        return shell(*common, "--kubeconfig", kubeconfig, "--config", path)

    def other(name, text):
        path = os.path.join(env.dir, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    garbage = other("garbage.pem", "no certificate\n")
    one_line(attempt("/no/such/kubeconfig"), "/no/such/kubeconfig")
    one_line(attempt(other("garbage.kubeconfig", "apiVersion: v1\nkind: Config\n")), "garbage.kubeconfig")
    one_line(attempt(other("yaml.kubeconfig", "{")), "yaml.kubeconfig")
    one_line(attempt(tlsCertFile="/no/such/cert"), "/no/such/cert")
    one_line(attempt(tlsCertFile=garbage), garbage)
    one_line(attempt(tlsPrivateKeyFile=garbage), garbage)
    one_line(attempt(tlsPrivateKeyFile=f"{env.cluster_dir}/pki/admin.key"), "admin.key")
    one_line(attempt(authentication={"x509": {"clientCAFile": garbage}}), garbage)
    node.remove()


def test_a_second_agent_is_told_in_one_line(env):
    node = env.node()
    rival = harness.Node(env, "rival", 2)
    rival.root_dir = node.root_dir
    rival.start(wait=False)
    assert rival.process.wait(15) == 1
    lines = [line for line in rival.log_tail().splitlines() if not line.startswith("---")]
    assert len(lines) == 1 and node.root_dir in lines[0], lines
    assert node.running() and node.healthy()
    # One with a folder of its own, but on a port that is taken.
    rival = harness.Node(env, "neighbour", 3)
    rival.config["port"] = node.port
    rival.start(wait=False)
    assert rival.process.wait(15) == 1
    assert str(node.port) in rival.log_tail(1), rival.log_tail()
    rival.remove()


if __name__ == "__main__":
    harness.main()

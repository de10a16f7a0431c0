#!/usr/bin/env python3
"""Streams by clients as they are in the field: kubectl of two ages, the Python client; many, large and slow ones.

clients_spdy_test.py runs the same against an API server that speaks SPDY to the node.
"""

import concurrent.futures
import contextlib
import filecmp
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
from exec_test import Terminal, box  # noqa: E402

OLD, NEW = "1.32", "1.37"
TOLERANT = json.dumps({"spec": {"tolerations": harness.TOLERATE_ALL}})


def kubectl(env, version, *args):
    """The command line of that kubectl as the administrator, in the test's namespace."""
    program = f"{env.bin}/kubectl" if version == NEW else f"{harness.addon('kubectl-1.32')}/kubectl"
    return [program, "--kubeconfig", f"{env.cluster_dir}/admin.kubeconfig", "-n", env.ns, *args]


def run(env, version, *args, **keywords):
    return harness.run(*kubectl(env, version, *args), **keywords)


def both(function):
    """The test for each kubectl; told apart by name."""
    def test(env):
        for version in (OLD, NEW):
            client = json.loads(run(env, version, "version", "--client", "-o", "json"))["clientVersion"]
            assert client["gitVersion"].startswith(f"v{version}."), client
            print(f"kubectl {client['gitVersion']}", flush=True)
            function(env, version)
    test.limit = getattr(function, "limit", 180)
    return test


@both
def test_exec(env, version):
    box(env)
    done = subprocess.run(kubectl(env, version, "exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7"),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == 7 and done.stdout == "out\n" and "err\n" in done.stderr, done
    said = run(env, version, "exec", "-i", "box", "--", "sh", "-c", "wc -c; echo after", stdin="x" * 3_000_000)
    assert said.split() == ["3000000", "after"], said
    terminal = Terminal(kubectl(env, version, "exec", "-it", "box", "--", "sh"), rows=31, columns=101)
    terminal.type("stty size\n")
    terminal.expect("31 101")
    terminal.resize(42, 142)
    terminal.type("until stty size | grep '42 142'; do :; done; exit 6\n")
    terminal.expect(r"\n42 142")
    assert terminal.end() == 6


@both
def test_attach(env, version):
    env.node()
    name = f"talker-{version.replace('.', '-')}"
    pod = env.pod(name, restartPolicy="Never")
    pod["spec"]["containers"] = [env.container(
        image="busybox:1", stdin=True, stdinOnce=True,
        command=["sh", "-c", 'while read -r line; do echo "got $line"; done; echo bye'])]
    env.apply(pod)
    env.wait_ready(f"pod/{name}")
    said = run(env, version, "attach", "-i", name, stdin="one\ntwo\n")
    assert "got one\ngot two\n" in said, said
    env.wait(f"pod/{name}", "jsonpath={.status.phase}=Succeeded", 20)


@both
def test_run_with_a_terminal(env, version):
    env.node()
    name = f"runner-{version.replace('.', '-')}"
    terminal = Terminal(kubectl(env, version, "run", "-it", "--rm", name, f"--image={env.image('busybox:1')}",
                                "--restart=Never", f"--overrides={TOLERANT}", "--", "sh"))
    terminal.type("echo rea''dy; tty\n")
    terminal.expect("ready")
    terminal.expect("/dev/")
    terminal.type("exit 0\n")
    terminal.expect(f'pod "{name}" deleted', 60)
    assert terminal.end() == 0
    # Without a terminal the answer is the pipe's, whole, and the exit code the pod's.
    done = subprocess.run(kubectl(env, version, "run", "-i", "--rm", "--quiet", f"{name}-piped",
                                  f"--image={env.image('busybox:1')}", "--restart=Never", f"--overrides={TOLERANT}",
                                  "--", "sh", "-c", "wc -c; exit 3"),
                          input=b"x" * 1_000_000, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 3 and done.stdout.split()[0] == b"1000000", done


@both
def test_debug(env, version):
    box(env)
    terminal = Terminal(kubectl(env, version, "debug", "-it", "box", f"--image={env.image('busybox:1')}",
                                "--target=main", "--profile=general", "--", "sh"))
    terminal.type("tr '\\0' ' ' < /proc/1/cmdline; echo; echo ov''er\n")
    terminal.expect("trap 'exit 0' TERM")
    terminal.expect("over")
    terminal.type("exit\n")
    terminal.end()
    # The node itself, through a pod of its host's namespaces.
    terminal = Terminal(kubectl(env, version, "debug", "node/n1", "-it", f"--image={env.image('busybox:1')}",
                                "--profile=sysadmin", "--", "chroot", "/host", "sh"))
    terminal.type("ls -d /proc/$(pidof burstlet | tr ' ' '\\n' | head -1) && echo o''n the host\n")
    terminal.expect("on the host", 60)
    terminal.type("exit 0\n")
    terminal.end()


@both
@harness.limit(400)
def test_copies_of_100_mb(env, version):
    box(env)
    there, back = (os.path.join(env.dir, name) for name in ("sent", "received"))
    if not os.path.exists(there):
        with open(there, "wb") as out:
            for _ in range(100):
                out.write(os.urandom(1 << 20))
    run(env, version, "cp", there, "box:/tmp/large", timeout=180)
    with open(there, "rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    assert env.exec("box", "sha256sum", "/tmp/large").split()[0] == digest
    run(env, version, "cp", "box:/tmp/large", back, timeout=180)
    assert filecmp.cmp(there, back, shallow=False)
    os.unlink(back)


@both
def test_port_forward(env, version):
    env.node()
    env.apply(env.pod("web", image="web:1"))
    env.wait_ready("pod/web")
    with subprocess.Popen(kubectl(env, version, "port-forward", "pod/web", ":80"), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as forward:
        try:
            port = int(re.search(r"127\.0\.0\.1:(\d+) -> 80", forward.stdout.readline()).group(1))
            with concurrent.futures.ThreadPoolExecutor(20) as pool:
                pages = list(pool.map(lambda _: env.fetch(f"http://127.0.0.1:{port}/"), range(40)))
            assert all("hello from web" in page for page in pages), pages
        finally:
            forward.kill()


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def blocked(env, name, pod="box"):
    """Whether the program of that name in the pod waits for somebody to take its output."""
    wanted = f"for p in $(pidof {name}); do cat /proc/$p/stat; done"
    fields = env.exec(pod, "sh", "-c", wanted).rsplit(")", 1)[-1].split()
    return bool(fields) and fields[0] == "S"


@both
def test_a_slow_reader_gets_all_and_costs_little(env, version):
    box(env)
    node = env.node()
    before = resident_kb(node.pid)
    size = 80_000_000
    with subprocess.Popen(kubectl(env, version, "exec", "box", "--", "sh", "-c", f"head -c {size} /dev/zero; echo end"),
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        client.send_signal(signal.SIGSTOP)
        client.send_signal(signal.SIGCONT)
        assert client.stdout.read(1) == b"\0"
        client.send_signal(signal.SIGSTOP)  # takes nothing more, its sockets fill
        harness.until(lambda: blocked(env, "head"), 60, "the command waits for its reader")
        grown = resident_kb(node.pid) - before
        assert grown < 16 * 1024, f"{grown} kB for one slow reader"
        client.send_signal(signal.SIGCONT)
        taken, last = 1, b""
        while data := client.stdout.read(1 << 20):
            taken, last = taken + len(data), (last + data)[-4:]
        assert client.wait(60) == 0
    assert (taken, last) == (size + 4, b"end\n"), (taken, last)


@both
def test_a_slow_attach_reader_gets_all(env, version):
    env.node()
    name = f"writer-{version.replace('.', '-')}"
    pod = env.pod(name, restartPolicy="Never")
    pod["spec"]["containers"] = [env.container(image="busybox:1", stdin=True,
                                               command=["sh", "-c", "read -r go; seq 1 2000000; exit 5"])]
    env.apply(pod)
    env.wait_ready(f"pod/{name}")
    with subprocess.Popen(kubectl(env, version, "attach", "-i", name), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as client:
        client.stdin.write(b"go\n")
        client.stdin.flush()
        assert client.stdout.read(1) == b"1"
        client.send_signal(signal.SIGSTOP)
        harness.until(lambda: blocked(env, "seq", name), 60, "the container waits for its reader")
        client.send_signal(signal.SIGCONT)
        said = b"1" + client.stdout.read()
    expected = "".join(f"{n}\n" for n in range(1, 2000001)).encode()
    assert said == expected, (len(said), said[-20:])
    env.wait(f"pod/{name}", "jsonpath={.status.phase}=Failed", 30)
    assert env.logs_of(name, "--tail=1") == "2000000\n"


# --- the Python client: WebSockets of its own make, v4, and port-forward by channels


def python(env):
    """The API of the Python client as the administrator, and its module `stream`."""
    packages = harness.addon("python-kubernetes")
    if packages not in sys.path:
        sys.path.append(packages)
    from kubernetes import client, config, stream  # pylint: disable=import-outside-toplevel
    configuration = client.Configuration()
    config.load_kube_config(f"{env.cluster_dir}/admin.kubeconfig", client_configuration=configuration)
    # An object of its own for each: the stream module swaps a method of the client that it is given.
    return lambda: client.CoreV1Api(client.ApiClient(configuration)), stream


def open_exec(env, api, stream, pod, command, **keywords):
    options = {"stderr": True, "stdin": True, "stdout": True, "tty": False, **keywords}
    return stream.stream(api().connect_get_namespaced_pod_exec, pod, env.ns, command=command, _preload_content=False,
                         **options)


def test_python_exec(env):
    box(env)
    api, stream = python(env)
    session = open_exec(env, api, stream, "box", ["sh", "-c", "read -r a; echo got $a; echo err >&2; exit 9"])
    session.write_stdin("this\n")
    session.run_forever(timeout=30)
    assert session.read_stdout() == "got this\n" and session.read_stderr() == "err\n"
    assert session.returncode == 9, session.returncode
    whole = stream.stream(api().connect_get_namespaced_pod_exec, "box", env.ns, command=["seq", "1", "200000"],
                          stderr=True, stdin=False, stdout=True, tty=False)
    assert whole == "".join(f"{n}\n" for n in range(1, 200001)), len(whole)
    terminal = open_exec(env, api, stream, "box", ["sh"], tty=True)
    terminal.write_channel(4, json.dumps({"Width": 123, "Height": 45}))
    terminal.write_stdin("until stty size | grep '45 123'; do :; done; exit 2\n")
    terminal.run_forever(timeout=30)
    assert terminal.returncode == 2, terminal.returncode  # before read_all, which forgets it
    assert "\n45 123" in terminal.read_all()
    # What is not there is an answer of HTTP's, or of the session.
    try:
        session = open_exec(env, api, stream, "box", ["/no/such"])
        session.run_forever(timeout=30)
        assert "no such file" in session.read_channel(3).lower()
    except stream.ws_client.ApiException as error:
        assert "no such file" in str(error).lower(), error


def test_python_attach_and_logs(env):
    env.node()
    pod = env.pod("talker", restartPolicy="Never")
    pod["spec"]["containers"] = [env.container(
        image="busybox:1", stdin=True,
        command=["sh", "-c", 'while read -r line; do echo "got $line"; [ "$line" != end ] || exit 4; done'])]
    env.apply(pod)
    env.wait_ready("pod/talker")
    api, stream = python(env)
    session = stream.stream(api().connect_get_namespaced_pod_attach, "talker", env.ns, stderr=True, stdin=True,
                            stdout=True, tty=False, _preload_content=False)
    session.write_stdin("one\n")
    assert session.readline_stdout(timeout=20) == "got one"
    follower = api().read_namespaced_pod_log("talker", env.ns, follow=True, _preload_content=False)
    session.write_stdin("end\n")
    session.run_forever(timeout=30)
    assert "got end" in session.read_stdout()
    assert follower.read().decode() == "got one\ngot end\n"
    assert api().read_namespaced_pod_log("talker", env.ns, tail_lines=1) == "got end\n"


def test_python_port_forward(env):
    env.node()
    env.apply(env.pod("web", image="web:1"))
    env.wait_ready("pod/web")
    api, stream = python(env)
    forward = stream.portforward(api().connect_get_namespaced_pod_portforward, "web", env.ns, ports="80,81")
    with contextlib.closing(forward.socket(80)) as web:
        web.setblocking(True)
        web.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        page = b""
        while data := web.recv(65536):
            page += data
    assert b"hello from web" in page and forward.error(80) is None, (page, forward.error(80))
    harness.until(lambda: forward.error(81), 20, "the port that nobody serves is told")
    assert "81" in forward.error(81), forward.error(81)


@harness.limit(300)
def test_two_hundred_sessions_at_once(env):
    box(env)
    api, stream = python(env)
    count = 200
    all_there = threading.Barrier(count, timeout=200)

    def one(number):
        session = open_exec(env, api, stream, "box", ["sh", "-c", f"echo up; read -r a; echo {number} $a; exit {number}"])
        assert session.readline_stdout(timeout=120) == "up"
        all_there.wait()  # each of them runs now
        session.write_stdin(f"in {number}\n")
        session.run_forever(timeout=120)
        return session.read_stdout(), session.returncode
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(one, range(count)))
    assert answers == [(f"{n} in {n}\n", n) for n in range(count)], answers
    left = env.exec("box", "ps", "-o", "args")
    assert "read -r" not in left, left


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""Streams into pods by kubectl: exec with a terminal and without, attach, cp, port-forward.

exec_spdy_test.py runs the same against an API server that speaks SPDY to the node.
"""

import concurrent.futures
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402


def box(env, name="box", **fields):
    """A pod with a shell in it, Ready."""
    env.node()
    pod = env.pod(name)
    pod["spec"]["containers"] = [env.container(
        image="busybox:1", command=["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"], **fields)]
    env.apply(pod)
    env.wait_ready(f"pod/{name}")


def kubectl(env, *args):
    return [f"{env.bin}/kubectl", "--kubeconfig", f"{env.cluster_dir}/admin.kubeconfig", "-n", env.ns, *args]


class Terminal:
    """kubectl with a terminal of its own, as a person has it."""

    def __init__(self, command, rows=24, columns=80):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(command[0], command)
        self.resize(rows, columns)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, timeout=20):
        """Reads until the pattern appears in what has not been matched yet; the match is used up."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.seen)
            if found:
                self.seen = self.seen[found.end():]
                return found
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            try:
                data = os.read(self.fd, 65536) if ready else b""
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
            self.seen += data.decode(errors="replace")

    def end(self, timeout=20):
        """The exit code; whatever still comes is read."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.fd], [], [], 0.05)
            if ready:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("kubectl does not end")


def fails(action, status=None):
    """The error of a command that has to fail."""
    try:
        action()
    except harness.CommandError as error:
        assert status is None or error.status == status, error
        return error
    raise AssertionError("it succeeded")


def test_exit_codes(env):
    box(env)
    for code in (0, 1, 42, 255):
        result = subprocess.run(kubectl(env, "exec", "box", "--", "sh", "-c", f"exit {code}"), check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        assert result.returncode == code, (code, result)
    fails(lambda: env.exec("box", "sh", "-c", "kill -9 $$"), 137)


def test_output_and_errors_stay_apart(env):
    box(env)
    result = subprocess.run(kubectl(env, "exec", "box", "--", "sh", "-c", "echo out; echo err >&2"), check=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert (result.stdout, result.stderr) == ("out\n", "err\n"), result


def test_end_of_input_reaches_the_command(env):
    box(env)
    # wc answers only after the end of its input, while its output is still open.
    for size in (0, 1, 5_000_000):
        assert env.exec("box", "wc", "-c", args=("-i",), stdin="x" * size).strip() == str(size)
    # The command goes on after its input has ended.
    said = env.exec("box", "sh", "-c", "cat; sleep 0.2; echo after", args=("-i",), stdin="before\n")
    assert said == "before\nafter\n", said


def test_a_command_that_leaves_its_input_unread(env):
    box(env)
    assert env.exec("box", "sh", "-c", "head -c 3; exit 0", args=("-i",), stdin="abc" + "x" * 3_000_000) == "abc"


def test_terminal_with_resize(env):
    box(env)
    terminal = Terminal(kubectl(env, "exec", "-it", "box", "--", "sh"), rows=30, columns=100)
    terminal.type("tty; echo term=$TERM; stty size\n")
    terminal.expect(r"/dev/(pts/\d+|console)")
    terminal.expect(r"30 100")
    terminal.resize(41, 133)
    # The new size travels on its own channel: asked until it is there.
    terminal.type("until stty size | grep '41 133'; do :; done; echo re''sized\n")
    terminal.expect("resized")
    terminal.type("sh -c 'trap \"exit 0\" INT; echo trap\"\"ped; while :; do sleep 0.1; done'\n")
    terminal.expect("trapped")
    terminal.type("\x03")  # the interrupt key is the business of the pod's terminal
    terminal.type("echo interr''upted; exit 5\n")
    terminal.expect("interrupted")
    assert terminal.end() == 5


def test_fifty_at_once(env):
    box(env)

    def one(number):
        return env.exec("box", "sh", "-c", f"cat; echo {number}", args=("-i",), stdin=f"in {number}\n")
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(one, range(50)))
    assert answers == [f"in {n}\n{n}\n" for n in range(50)], answers
    # None of them has left a process.
    assert len(env.exec("box", "ps", "-o", "pid,args").splitlines()) <= 5, env.exec("box", "ps")


def test_a_client_that_goes_away_leaves_nothing_running(env):
    box(env)
    client = subprocess.Popen(kubectl(env, "exec", "-i", "box", "--", "sh", "-c", "echo up; cat"),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert client.stdout.readline() == b"up\n"
    client.kill()
    client.communicate()
    harness.until(lambda: "echo up" not in env.exec("box", "ps", "-o", "args"), 20, "the command ends")


def test_what_is_not_there(env):
    box(env)
    assert "no such file" in fails(lambda: env.exec("box", "/no/such/program")).stderr.lower()
    assert "nobody" in fails(lambda: env.exec("box", "true", args=("-c", "nobody"))).stderr
    assert "nobody" in fails(lambda: env.exec("nobody", "true")).stderr


def test_attach_shows_and_feeds_a_container(env):
    env.node()
    pod = env.pod("talker", restartPolicy="Never")
    pod["spec"]["containers"] = [env.container(
        image="busybox:1", stdin=True, stdinOnce=True,
        command=["sh", "-c", 'echo ready; while read -r line; do echo "got $line"; done; echo bye'])]
    env.apply(pod)
    env.wait_ready("pod/talker")
    said = env.kubectl("attach", "-i", "talker", stdin="one\ntwo\n")
    assert "got one\ngot two\n" in said, said
    # With stdinOnce the first client's end is the end of input.
    env.wait("pod/talker", "jsonpath={.status.phase}=Succeeded", 20)
    assert env.logs_of("talker") == "ready\ngot one\ngot two\nbye\n", env.logs_of("talker")


def test_attach_to_a_terminal(env):
    env.node()
    pod = env.pod("console", restartPolicy="Never")
    pod["spec"]["containers"] = [env.container(image="busybox:1", command=["sh"], stdin=True, tty=True)]
    env.apply(pod)
    env.wait_ready("pod/console")
    terminal = Terminal(kubectl(env, "attach", "-it", "console"), rows=33, columns=99)
    terminal.type("echo hel''lo; tty\n")
    terminal.expect("hello")
    terminal.type("exit 0\n")
    terminal.end()
    env.wait("pod/console", "jsonpath={.status.phase}=Succeeded", 20)


def test_copies_to_and_from_a_pod(env):
    box(env)
    source = os.path.join(env.dir, "source")
    os.makedirs(f"{source}/below", exist_ok=True)
    with open(f"{source}/below/large", "wb") as out:
        out.write(os.urandom(4 << 20))
    with open(f"{source}/small", "w", encoding="ascii") as out:
        out.write("small\n")
    env.kubectl("cp", source, "box:/tmp/there")
    assert env.exec("box", "cat", "/tmp/there/small") == "small\n"
    back = os.path.join(env.dir, "back")
    env.kubectl("cp", "box:/tmp/there", back)
    for name in ("below/large", "small"):
        with open(f"{source}/{name}", "rb") as a, open(f"{back}/{name}", "rb") as b:
            assert a.read() == b.read(), name


def test_port_forward(env):
    env.node()
    env.apply(env.pod("web", image="web:1"))
    env.wait_ready("pod/web")
    log = open(os.path.join(env.logs, "port-forward.log"), "w+", encoding="utf-8")
    with subprocess.Popen(kubectl(env, "port-forward", "pod/web", ":80"), stdout=subprocess.PIPE, stderr=log,
                          text=True) as forward:
        try:
            port = int(re.search(r"127\.0\.0\.1:(\d+) -> 80", forward.stdout.readline()).group(1))
            for _ in range(5):
                assert "hello from web" in env.fetch(f"http://127.0.0.1:{port}/")

            def one(_):
                return "hello from web" in env.fetch(f"http://127.0.0.1:{port}/")
            with concurrent.futures.ThreadPoolExecutor(10) as pool:
                assert all(pool.map(one, range(30)))
        finally:
            forward.kill()
            log.close()


def test_port_forward_to_a_port_that_nobody_serves(env):
    env.node()
    env.apply(env.pod("web", image="web:1"))
    env.wait_ready("pod/web")
    with subprocess.Popen(kubectl(env, "port-forward", "pod/web", ":81"), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as forward:
        try:
            port = int(re.search(r"127\.0\.0\.1:(\d+) -> 81", forward.stdout.readline()).group(1))
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                assert client.recv(10) == b""
            assert "81" in forward.stderr.readline()
        finally:
            forward.kill()


if __name__ == "__main__":
    harness.main()

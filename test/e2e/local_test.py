#!/usr/bin/env python3
"""The node's own commands: burstlet ps, top, logs and exec, with an API server, without one, and for `burstlet run`."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
from exec_test import Terminal, box  # noqa: E402
from run_test import Here  # noqa: E402

USAGE = 2


def local(env, root_dir, *args, **keywords):
    """(exit code, output, what it complained of) of a command to the agent of that root directory."""
    done = subprocess.run([env.burstlet, args[0], "--root-dir", root_dir, *args[1:]], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, timeout=60, **keywords)
    return done.returncode, done.stdout, done.stderr


def said(env, root_dir, *args, **keywords):
    """The output of a command that succeeds."""
    code, text, complaint = local(env, root_dir, *args, **keywords)
    assert code == 0, (args, code, text, complaint)
    return text


def rows(table):
    """A table's lines by the name of the pod."""
    head, *lines = table.splitlines()
    found = {line.split()[1]: dict(zip(head.split(), line.split())) for line in lines}
    assert len(found) == len(lines), table
    return found


def test_ps_and_top(env):
    node = env.node()
    box(env)
    env.apply(env.pod("ended", image="busybox:1", command=["true"], restartPolicy="Never"))
    env.wait("pod/ended", "jsonpath={.status.phase}=Succeeded")
    pods = rows(said(env, node.root_dir, "ps", "-n", env.ns))
    assert set(pods) == {"box", "ended"}, pods
    assert pods["box"]["READY"] == "1/1" and pods["box"]["STATUS"] == "Running", pods
    assert pods["box"]["IP"] == env.pod_ip("box") and pods["box"]["NAMESPACE"] == env.ns, pods
    assert pods["ended"]["STATUS"] == "Completed" and pods["ended"]["READY"] == "0/1", pods
    assert said(env, node.root_dir, "ps", "-n", "nobody").count("\n") == 1
    listed = json.loads(said(env, node.root_dir, "ps", "--json"))
    assert {"box", "ended"} <= {pod["metadata"]["name"] for pod in listed["items"]}
    usage = rows(said(env, node.root_dir, "top", "-n", env.ns))
    assert usage["box"]["MEMORY"].endswith("Mi") and usage["box"]["START"].endswith("ms"), usage
    # On a terminal it goes on until it is ended.
    terminal = Terminal([env.burstlet, "top", "--root-dir", node.root_dir, "-n", env.ns])
    for _ in range(2):
        terminal.expect(r"NAMESPACE .*STAGES")
        terminal.expect(r"box .*Running .*started=")
    terminal.type("\x03")
    assert terminal.end() != 0


def test_logs(env):
    node = env.node()
    env.apply(env.pod("talker", restartPolicy="Never", containers=[
        env.container(image="busybox:1", command=["sh", "-c", "seq 1 30; while [ ! -e /go ]; do sleep 0.1; done; echo last"]),
        env.container(name="other", image="busybox:1", command=["echo", "the other"])]))
    env.wait_for("pods/talker", lambda p: any("terminated" in s["state"] for s in p["status"].get("containerStatuses", [])))
    assert said(env, node.root_dir, "logs", "talker", "--tail", "2") == "29\n30\n"
    assert said(env, node.root_dir, "logs", f"{env.ns}/talker", "-c", "other") == "the other\n"
    assert said(env, node.root_dir, "logs", "-n", env.ns, "talker", "--timestamps", "--tail", "1").endswith("Z 30\n")
    with subprocess.Popen([env.burstlet, "logs", "--root-dir", node.root_dir, "-f", "talker"],
                          stdout=subprocess.PIPE, text=True) as follower:
        for number in range(1, 31):
            assert follower.stdout.readline() == f"{number}\n"
        env.exec("talker", "touch", "/go", args=("-c", "main"))
        assert follower.stdout.read() == "last\n"
        assert follower.wait(30) == 0
    for args, text in ((("logs", "nobody"), 'pod "nobody" not found'), (("logs", "talker", "-c", "none"), "none")):
        code, _, complaint = local(env, node.root_dir, *args)
        assert code == 1 and text in complaint, (args, code, complaint)


def test_exec(env):
    node = env.node()
    box(env)
    name = f"{env.ns}/box"
    code, text, complaint = local(env, node.root_dir, "exec", name, "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (code, text, complaint) == (42, "out\n", "err\n"), (code, text, complaint)
    assert said(env, node.root_dir, "exec", "-i", name, "--", "wc", "-c", input="x" * 5_000_000).strip() == "5000000"
    assert said(env, node.root_dir, "exec", "-i", name, "--", "sh", "-c", "head -c 3", input="abc" + "x" * 3_000_000) == "abc"
    assert said(env, node.root_dir, "exec", name, "--", "seq", "1", "500000") == "".join(f"{n}\n" for n in range(1, 500001))
    terminal = Terminal([env.burstlet, "exec", "--root-dir", node.root_dir, "-it", name, "--", "sh"], rows=30, columns=100)
    terminal.type("tty; stty size\n")
    terminal.expect(r"/dev/(pts/\d+|console)")
    terminal.expect("30 100")
    terminal.resize(41, 133)
    terminal.type("until stty size | grep '41 133'; do :; done; exit 5\n")
    terminal.expect(r"\n41 133")
    assert terminal.end() == 5
    code, _, complaint = local(env, node.root_dir, "exec", name, "--", "/no/such/program")
    assert code == 1 and "no such file" in complaint.lower(), (code, complaint)
    for args in (("exec", "box"), ("exec",), ("logs",), ("logs", "box", "--tail", "many")):
        assert local(env, node.root_dir, *args)[0] == USAGE, args


def test_a_name_in_two_namespaces(env):
    node = env.node()
    box(env)
    env.kubectl("create", "namespace", "twin")
    env.kubectl("wait", "serviceaccount/default", "--for=create", "--timeout=30s", ns="twin")
    env.kubectl("apply", "-f", "-", stdin=json.dumps(env.pod("box")), ns="twin")
    env.kubectl("wait", "pod/box", "--for=condition=Ready", "--timeout=30s", ns="twin")
    code, _, complaint = local(env, node.root_dir, "exec", "box", "--", "true")
    assert code == USAGE and "several namespaces" in complaint and "twin" in complaint, (code, complaint)
    assert said(env, node.root_dir, "exec", "-n", env.ns, "box", "--", "echo", "here") == "here\n"
    env.kubectl("delete", "namespace", "twin", "--wait=false")


def test_only_root_is_answered(env):
    node = env.node()
    socket = os.path.join(node.root_dir, "agent.sock")
    assert os.stat(socket).st_mode & 0o777 == 0o600
    code, text, complaint = local(env, node.root_dir, "ps", user=65534, group=65534, extra_groups=[])
    assert code == 1 and not text and ("ermission" in complaint or "no agent" in complaint), (code, text, complaint)


def test_without_an_api_server(env):
    node = env.node()
    box(env)
    env.control_plane("stop")
    try:
        assert rows(said(env, node.root_dir, "ps", "-n", env.ns))["box"]["STATUS"] == "Running"
        assert said(env, node.root_dir, "exec", "-n", env.ns, "box", "--", "echo", "still here") == "still here\n"
        assert "box" in said(env, node.root_dir, "top", "--once", "-n", env.ns)
    finally:
        env.control_plane("start")


def test_an_agent_that_is_not_there(env):
    node = env.node()
    node.kill()
    code, _, complaint = local(env, node.root_dir, "ps")
    assert code == 1 and "no agent listens there" in complaint, (code, complaint)
    node.start()
    assert said(env, node.root_dir, "ps").startswith("NAMESPACE")
    code, _, complaint = local(env, os.path.join(env.dir, "nowhere"), "ps")
    assert code == 1 and "no agent runs there" in complaint, (code, complaint)


def test_of_burstlet_run(env):
    here = Here(env, "alone").write(env.pod("solo", restartPolicy="Never", containers=[env.container(
        image="busybox:1", command=["sh", "-c", "echo hello; while [ ! -e /go ]; do sleep 0.1; done; exit 3"])]))
    run = here.start()
    try:
        assert run.stdout.readline() == "[solo/main] hello\n"
        harness.until(lambda: rows(said(env, here.root_dir, "ps")).get("solo", {}).get("STATUS") == "Running", 20,
                      "the pod runs")
        assert said(env, here.root_dir, "logs", "solo") == "hello\n"
        assert "solo" in rows(said(env, here.root_dir, "top", "--once"))
        # The command ends before what it leaves behind lets the pod end, and everything in it.
        assert said(env, here.root_dir, "exec", "solo", "--", "sh", "-c", "(sleep 1; touch /go) > /dev/null 2>&1 &") == ""
        assert run.wait(30) == 3
        assert not os.path.exists(os.path.join(here.root_dir, "agent.sock"))
        assert "no agent" in local(env, here.root_dir, "ps")[2]
    finally:
        run.kill()
        run.communicate()
        here.remove()


if __name__ == "__main__":
    harness.main()

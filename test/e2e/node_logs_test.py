#!/usr/bin/env python3
"""The node's own logs through the API server, from a real folder and a real journal; the verbosity at run time."""

import os
import shutil
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import machine  # noqa: E402

JOURNALD = "/lib/systemd/systemd-journald"
MACHINE_ID = "0123456789abcdef0123456789abcdef"


def in_log_folder(folder):
    """What goes before a command so that it sees the folder as /var/log, with a machine id and a /run of its own."""
    mounts = (f"mount --bind {folder}/log /var/log && mount --bind {folder}/machine-id /etc/machine-id && "
              "mkdir -p /run/systemd /run/log && mount -t tmpfs none /run/systemd && mount -t tmpfs none /run/log && "
              'mkdir -p /run/systemd/journal && exec "$@"')
    return ["unshare", "-m", "sh", "-c", mounts, "--"]


def write_journal(folder, unit):
    """Lines of a service in a journal, by a real journald. A service is known by its cgroup."""
    roots = [r for r in machine.cgroup_roots() if r.endswith(("/systemd", "/unified")) or r == "/sys/fs/cgroup"]
    groups = [f"{root}/system.slice/{unit}" for root in roots]
    for group in groups:
        os.makedirs(group, exist_ok=True)
    enter = "; ".join(f"echo $$ > {group}/cgroup.procs" for group in groups)
    script = f"""
        {JOURNALD} & daemon=$!
        until [ -S /run/systemd/journal/stdout ] && [ -S /run/systemd/journal/socket ]; do sleep 0.1; done
        until journalctl --flush; do sleep 0.1; done  # from /run to the folder that stays
        # It stays until its lines are there: whose they are, journald asks of a process that is alive.
        mkfifo {folder}/end
        sh -c '{enter}; {{ seq -f "line number %g" 1 50; read end < {folder}/end; }} | systemd-cat -t burst' & service=$!
        until journalctl --sync && journalctl --quiet --unit={unit} | grep -q "number 50"; do sleep 0.1; done
        echo > {folder}/end; wait $service
        kill $daemon; wait $daemon
        true"""
    try:
        machine.run(*in_log_folder(folder), "sh", "-c", script, timeout=60)
    finally:
        for group in groups:
            machine.until(lambda path=group: not machine.run("cat", f"{path}/cgroup.procs").strip(), 10, "the service ends")
            os.rmdir(group)


def node_with_logs(env):
    """A node whose /var/log is the suite's, with a journal that has the service burst-demo in it."""
    env.cluster()
    if "n1" in env.nodes:
        return env.node()
    folder = os.path.join(env.dir, "host")
    shutil.rmtree(folder, ignore_errors=True)  # of a test that failed here
    os.makedirs(f"{folder}/log/journal/{MACHINE_ID}")
    os.makedirs(f"{folder}/log/nginx")
    for name, text in (("log/plain.log", "a plain log\n"), ("log/nginx/nginx.log", "nginx speaks\n"),
                       ("machine-id", MACHINE_ID + "\n")):
        with open(f"{folder}/{name}", "w", encoding="ascii") as out:
            out.write(text)
    os.symlink("/etc/passwd", f"{folder}/log/escape")
    os.symlink("/var/log/nginx/nginx.log", f"{folder}/log/linked")
    if os.path.exists(JOURNALD):
        write_journal(folder, "burst-demo.service")
    node = env.node(config={"enableSystemLogQuery": True}, start=False)
    node.prefix = in_log_folder(folder)
    return env.node()


def raw(env, path, **options):
    query = urllib.parse.urlencode(options, doseq=True)
    return env.kubectl("get", "--raw", f"/api/v1/nodes/n1/proxy/logs/{path}" + (f"?{query}" if query else ""))


def refused(env, path="", **options):
    """What the client is told of a request that must fail."""
    try:
        text = raw(env, path, **options)
    except harness.CommandError as error:
        return str(error)
    raise AssertionError(f"it was answered: {text[:300]}")


def test_folder_and_files(env):
    node = node_with_logs(env)
    page = raw(env, "")
    for name in ("plain.log", "nginx/", "journal/"):
        assert f'<a href="{name}">{name}</a>' in page, page
    assert raw(env, "plain.log") == "a plain log\n"
    assert raw(env, "nginx/nginx.log") == "nginx speaks\n"
    assert raw(env, "linked") == "nginx speaks\n"
    assert raw(env, "nginx/") == raw(env, "nginx")  # by way of a redirect
    assert "could not find" in refused(env, "none.log")  # kubectl's word for any 404
    assert node.get("/logs/none.log") == (404, "log not found: none.log\n")
    assert "leads out" in refused(env, "escape")


def test_queries_for_files(env):
    node = node_with_logs(env)
    assert raw(env, "", query="plain") == "a plain log\n"
    assert raw(env, "", query="nginx") == "nginx speaks\n"
    assert raw(env, "", query="/nginx/nginx.log") == "nginx speaks\n"
    both = raw(env, "", query=["nginx", "plain"])
    assert both == "nginx speaks\na plain log\n", both
    assert node.get("/logs/?query=absent") == (404, "log not found for absent\n")
    assert "leads out" in refused(env, query="/escape")


def test_what_can_not_be_asked(env):
    node = node_with_logs(env)
    for query, status, text in (
            ("query=plain&boot=1", 406, "boot: Invalid value"), ("query=plain&tailLines=-5", 406, "tailLines: Invalid value"),
            ("query=plain&sinceTime=now", 400, "sinceTime: Invalid value"), ("query=", 400, "may not be empty"),
            ("query=a%20b", 406, "letters, digits"), ("tailLines=5", 406, "cannot be empty with options"),
            ("query=plain&tailLines=5", 406, "ask without them")):
        answer = node.get(f"/logs/?{query}")
        assert answer[0] == status and text in answer[1], (query, answer)
    assert node.get("/logs/../../etc/passwd")[0] == 400
    assert node.get("/logs/%2e%2e/%2e%2e/etc/passwd")[0] == 400


def test_queries_for_services_of_the_journal(env):
    if not os.path.exists(JOURNALD):
        raise harness.Skip("this host has no journald")
    node = node_with_logs(env)
    lines = raw(env, "", query="burst-demo").splitlines()
    assert len(lines) == 50 and lines[0].endswith("burst[" + lines[0].split("burst[")[1].split("]")[0] +
                                                  "]: line number 1"), lines[:2]
    assert [line.split(": ")[1] for line in raw(env, "", query="burst-demo", tailLines=2).splitlines()] == \
        ["line number 49", "line number 50"]
    matching = raw(env, "", query="burst-demo.service", pattern="number 4[0-9]$").splitlines()
    assert len(matching) == 10, matching
    assert len(raw(env, "", query="burst-demo", boot=0).splitlines()) == 50
    assert "line number" not in raw(env, "", query="burst-demo", untilTime="2001-01-01T00:00:00Z")
    assert "line number" not in raw(env, "", query="burst-demo", sinceTime="2101-01-01T00:00:00Z")
    assert len(raw(env, "", query="burst-demo", sinceTime="2001-01-01T00:00:00+02:00").splitlines()) == 50
    mixed = raw(env, "", query=["burst-demo", "nginx"])
    assert "line number 50" in mixed and mixed.endswith("nginx speaks\n"), mixed[-200:]
    # What journalctl refuses is refused before anything is sent.
    status, text = node.get("/logs/?query=burst-demo&pattern=" + urllib.parse.quote("(unclosed"))
    assert status == 406 and "journalctl" in text, (status, text)
    status, text = node.get("/logs/?query=burst-demo&boot=-20000")
    assert status == 406 and "boot" in text.lower(), (status, text)
    # Nothing runs on.
    assert not machine.processes(lambda pid, _: "journalctl" in machine.command_line(pid) and
                                 os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"))


def test_switched_off(env):
    node_with_logs(env)
    off = env.node("n2", config={"enableSystemLogHandler": False})
    assert off.get("/logs/") == (405, "logs endpoint is disabled.\n")
    plain = env.node("n3", config={"enableDebugFlagsHandler": False})
    status, text = plain.get("/logs/?query=no/such&boot=x")  # options count for nothing: the folder
    assert status == 200 and "<pre>" in text, (status, text)
    assert put_verbosity(env, plain, "3") == (405, "flags endpoint is disabled.\n")
    try:
        harness.run(env.burstlet, "node", "--config", "/dev/stdin", timeout=30,
                    stdin="apiVersion: burstlet.io/v1alpha1\nkind: BurstletConfiguration\n"
                          "enableSystemLogHandler: false\nenableSystemLogQuery: true\n")
        raise AssertionError("it was taken")
    except harness.CommandError as error:
        assert "enableSystemLogQuery: needs enableSystemLogHandler" in str(error), error


def put_verbosity(env, node, level):
    """(status, text) of the kubelet port, asked with the right of its own as `kubectl` cannot PUT text."""
    answer = subprocess.run(
        ["curl", "-sS", "--cacert", f"{node.identity}/ca.crt", "--cert", f"{env.cluster_dir}/pki/apiserver-kubelet-client.crt",
         "--key", f"{env.cluster_dir}/pki/apiserver-kubelet-client.key", "-X", "PUT", "-d", level, "-w", "\n%{http_code}",
         f"https://{node.ip}:{node.port}/debug/flags/v"], check=True, stdout=subprocess.PIPE, text=True, timeout=30).stdout
    text, status = answer.rsplit("\n", 1)
    return int(status), text


def test_verbosity_changes_at_run_time(env):
    node = node_with_logs(env)

    def serves():
        """How many requests the log tells of, which it does from level 4 on."""
        node.get("/healthz")
        with open(node.log, encoding="utf-8") as log:
            return log.read().count('"Serves"')
    before = serves()
    assert serves() == before
    assert put_verbosity(env, node, "4") == (200, "successfully set klog.logging.verbosity to 4")
    harness.until(lambda: serves() > before, 10, "each request is told")
    assert put_verbosity(env, node, "two")[0] == 400
    assert put_verbosity(env, node, "0") == (200, "successfully set klog.logging.verbosity to 0")
    quiet = serves()
    assert serves() == quiet
    assert node.get("/debug/pprof/heap")[0] == 405


if __name__ == "__main__":
    harness.main()

"""Environment and runner of an end-to-end suite: see test/README.md.

One suite is one process. It makes a network namespace, enters it, and runs in it a control plane,
registries and nodes; so nothing it serves is reachable from outside, ports never collide, and the
suite's own sockets reach pods directly. Everything is made lazily and removed at the end.
"""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

import machine
from machine import CommandError, run, until  # noqa: F401  (for suites)
from node import Node, condition  # noqa: F401

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
NODE_ADDRESSES = 8
TOLERATE_ALL = [{"operator": "Exists"}]


def addon(module):
    """The folder of the programs of test/addons/MODULE; they are built when they are not there."""
    build = [f"{ROOT}/test/addons/build", module]
    if machine.outside is not None:
        # What is missing comes from the machine's network, not the suite's.
        build[:0] = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{machine.outside}"]
    return run(*build, timeout=3600).strip()


class Skip(Exception):
    """Raised by a test that can't run here; the text says why."""


class Env:
    """What a suite's tests get: cluster, registry, nodes, kubectl."""

    def __init__(self, suite):
        base = os.environ.get("BURSTLET_TEST_ID") or f"bt{os.getpid()}"
        self.id = f"{base}-{suite}"[:48]
        os.environ.setdefault("BURSTLET_TEST_MARK", base)
        self.dir = tempfile.mkdtemp(prefix=f"{self.id}.")
        self.logs = os.path.join(os.environ.get("BURSTLET_LOGS") or
                                 os.path.join(ROOT, "build", "test-logs"), suite)
        shutil.rmtree(self.logs, ignore_errors=True)
        os.makedirs(self.logs)
        self.bin = os.environ.get("BURSTLET_GO_BIN") or \
            run(f"{ROOT}/test/cluster/build", timeout=3600).strip()
        self.images = os.environ.get("BURSTLET_IMAGES") or \
            run(f"{ROOT}/test/images/build", self.bin, timeout=600).strip()
        # Everything is near: a proxy of the machine would only be in the way.
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            os.environ.pop(name, None)
            os.environ.pop(name.upper(), None)
        self.burstlet = os.environ.get("BURSTLET_PROGRAM") or f"{ROOT}/build/burstlet"
        self.cluster_dir = os.path.join(self.dir, "cluster")
        self.ip = "10.123.0.1"
        self.ns = "default"
        self.nodes = {}
        self.registries = []
        self._registry = None
        self._cluster = False
        self.netns = None

    # --- setting up -------------------------------------------------------------------------

    def enter(self):
        """Makes and enters the network namespace."""
        self.netns = machine.NetworkNamespace(self.id)
        self.netns.enter()
        run("ip", "link", "set", "lo", "up")
        # Both ends stay here: an interface with carrier (dummy is a module not every host has).
        run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "node0-peer")
        run("ip", "link", "set", "node0-peer", "up")
        for number in range(1, NODE_ADDRESSES + 1):
            run("ip", "address", "add", f"10.123.0.{number}/24", "dev", "node0")
        run("ip", "link", "set", "node0", "up")
        with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as out:
            out.write("1")

    def driver(self, *args, timeout=120):
        """The program cluster of test/cluster."""
        return run(f"{self.bin}/cluster", *args, timeout=timeout)

    def cluster(self, *args):
        """Starts the control plane, once."""
        if not self._cluster:
            print(self.driver("up", self.cluster_dir, "--ip", self.ip, "--owner", os.getpid(),
                              *args).strip(), flush=True)
            self._cluster = True
            if self.ns != "default":
                self.make_namespace()
        return self

    def control_plane(self, verb, component="apiserver"):
        """stop, start or restart a component of the control plane."""
        self.driver(verb, self.cluster_dir, component)

    @property
    def registry(self):
        """Address of the plain HTTP registry on loopback, which holds every test image."""
        if self._registry is None:
            folder, url = self.start_registry("registry")
            run(f"{self.bin}/images", "push", "--from", self.images, "--to", url)
            self._registry = url.split("//")[1]
            print(f"registry {folder} at {url} holds the images", flush=True)
        return self._registry

    def start_registry(self, name, *args):
        """(folder, url) of a further registry; args as of `cluster registry up`."""
        folder = os.path.join(self.dir, name)
        self.driver("registry", "up", folder, "--owner", os.getpid(), *args)
        self.registries.append(folder)
        with open(os.path.join(folder, "url"), encoding="ascii") as source:
            return folder, source.read().strip()

    def private_registry(self, login="tester:secret", only="busybox,web", kind="htpasswd"):
        """(address, authority's file) of a TLS registry with a login that holds some images; kind
        is htpasswd (basic login) or token (bearer tokens from a service of its own)."""
        folder, url = self.start_registry(f"private{len(self.registries)}", "--tls", f"--{kind}",
                                          login)
        ca = os.path.join(folder, "pki", "ca.crt")
        run(f"{self.bin}/images", "push", "--from", self.images, "--to", url, "--ca", ca,
            "--login", login, "--only", only)
        return url.split("//")[1], ca

    def node(self, name="n1", config=None, args=(), start=True, ips=None):
        """The node of that name, made and started at the first call, and running after each. `ips`
        are its addresses, if it shall have others than the one of its number."""
        self.cluster()
        if name not in self.nodes:
            self.nodes[name] = Node(self, name, len(self.nodes) + 1, config, args,
                                    ips)
        node = self.nodes[name]
        if start and not node.running():
            node.start()  # a test before may have failed with the node down
        elif start and not node.was_ready:
            node.wait_ready()
        return node

    # --- objects ----------------------------------------------------------------------------

    def image(self, name):
        """web:1 of our registry; a name with a slash is left as it is."""
        return name if "/" in name else f"{self.registry}/{name}"

    def container(self, name="main", image="pause:3.10", **fields):
        return {"name": name, "image": self.image(image), "imagePullPolicy": "IfNotPresent",
                **fields}

    def pod_spec(self, containers=None, image="pause:3.10", command=None, args=None, **fields):
        main = self.container(image=image)
        if command:
            main["command"] = command
        if args:
            main["args"] = args
        return {"tolerations": TOLERATE_ALL, "terminationGracePeriodSeconds": 2,
                "containers": containers or [main], **fields}

    def pod(self, name, labels=None, annotations=None, **spec):
        """A pod that tolerates everything; keywords as of pod_spec, others are fields of the spec."""
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "labels": {"app": name, **(labels or {})},
                             "annotations": annotations or {}},
                "spec": self.pod_spec(**spec)}

    def deployment(self, name, replicas=1, strategy=None, **spec):
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                         **({"strategy": strategy} if strategy else {}),
                         "template": {"metadata": {"labels": {"app": name}},
                                      "spec": self.pod_spec(**spec)}}}

    def kubectl(self, *args, stdin=None, check=True, timeout=90, ns=None):
        """Runs kubectl as the administrator, in the test's namespace."""
        self.cluster()
        return run(f"{self.bin}/kubectl", "--kubeconfig", f"{self.cluster_dir}/admin.kubeconfig",
                   "-n", ns or self.ns, *args, stdin=stdin, check=check, timeout=timeout)

    def kubectl_as(self, kubeconfig, *args, **keywords):
        return run(f"{self.bin}/kubectl", "--kubeconfig", kubeconfig, "-n", self.ns, *args,
                   **keywords)

    def apply(self, *objects):
        """Applies objects (as Python data) in the test's namespace."""
        for thing in objects:
            self.kubectl("apply", "-f", "-", stdin=json.dumps(thing))

    def get(self, what, **keywords):
        """An object, or a list of them, as Python data."""
        return json.loads(self.kubectl("get", *what.split(), "-o", "json", **keywords))

    def delete(self, what, *args, wait=True, timeout=60):
        self.kubectl("delete", *what.split(), f"--wait={str(wait).lower()}", *args, timeout=timeout)

    def logs_of(self, pod, *args):
        return self.kubectl("logs", pod, *args)

    def exec(self, pod, *command, args=(), **keywords):
        return self.kubectl("exec", pod, *args, "--", *command, **keywords)

    def events(self, name):
        """Events of an object, oldest first, as (reason, message)."""
        items = self.get(f"events --field-selector=involvedObject.name={name}")["items"]
        return [(e["reason"], e.get("message", "")) for e in items]

    # --- waiting ----------------------------------------------------------------------------

    def wait(self, what, for_, timeout=60):
        """kubectl wait --for=..."""
        return self.kubectl("wait", *what.split(), f"--for={for_}", f"--timeout={timeout}s",
                            timeout=timeout + 15)

    def wait_ready(self, what, timeout=60):
        return self.wait(what, "condition=Ready", timeout)

    def wait_gone(self, what, timeout=60):
        return self.wait(what, "delete", timeout)

    def wait_for(self, what, predicate, timeout=60):
        """Watches pods/NAME (nodes/NAME, any core kind) until predicate(object); returns it."""
        kind, name = what.split("/")
        scope = "" if kind in ("nodes", "namespaces") else f"/namespaces/{self.ns}"
        path = f"/api/v1{scope}/{kind}?watch=1&fieldSelector=metadata.name%3D{name}"
        deadline = time.monotonic() + timeout
        last = None
        while time.monotonic() < deadline:
            for event in self._watch(path, deadline):
                if event["type"] in ("ADDED", "MODIFIED"):
                    last = event["object"]
                    if predicate(last):
                        return last
        status = dict((last or {}).get("status") or {})
        status["conditions"] = [f'{c["type"]}={c["status"]}' for c in status.get("conditions", [])]
        order = ("phase", "reason", "message", "containerStatuses", "initContainerStatuses", "conditions")
        shown = json.dumps({**{k: status[k] for k in order if k in status}, **status})[:1500]
        raise AssertionError(f"not within {timeout} s: {what}, its last status: {shown}")

    def _watch(self, path, deadline):
        command = [f"{self.bin}/kubectl", "--kubeconfig", f"{self.cluster_dir}/admin.kubeconfig",
                   "get", "--raw", path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as watch:
            try:
                buffer = b""
                while time.monotonic() < deadline:
                    ready, _, _ = select.select([watch.stdout], [], [],
                                                max(0, deadline - time.monotonic()))
                    data = os.read(watch.stdout.fileno(), 1 << 16) if ready else b""
                    if not data:
                        break
                    buffer += data
                    *lines, buffer = buffer.split(b"\n")
                    for line in lines:
                        yield json.loads(line)
            finally:
                watch.kill()

    def pod_ip(self, name):
        return self.wait_for(f"pods/{name}", lambda p: p["status"].get("podIP"))["status"]["podIP"]

    def fetch(self, url, timeout=10):
        """Body of a URL, asked from the node's network; no proxies."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=timeout) as response:
            return response.read().decode(errors="replace")

    # --- per test, and the end ----------------------------------------------------------------

    def begin(self, test):
        """Gives the test a Kubernetes namespace of its own, when there is a cluster."""
        self.ns = re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-")[:60]
        if self._cluster:
            self.make_namespace()

    def make_namespace(self):
        run(f"{self.bin}/kubectl", "--kubeconfig", f"{self.cluster_dir}/admin.kubeconfig",
            "create", "namespace", self.ns)
        self.kubectl("wait", "serviceaccount/default", "--for=create", "--timeout=30s")

    def end(self):
        if self._cluster:
            self.kubectl("delete", "namespace", self.ns, "--wait=false", check=False)

    def state(self):
        """What a failed test leaves to look at."""
        if not self._cluster:
            return
        for args in (("get", "pods", "-A", "-o", "wide"), ("get", "nodes", "-o", "wide"),
                     ("get", "events", "--sort-by=.lastTimestamp")):
            try:
                print(f"$ kubectl {' '.join(args)}\n{self.kubectl(*args, check=False, timeout=15)}")
            except (OSError, subprocess.SubprocessError) as error:
                print(error)
        for node in self.nodes.values():
            print(f"--- end of {node.log}\n{node.log_tail()}")

    def close(self):
        """Ends and removes everything; goes on after a failure, and tells the first."""
        problems = []

        def attempt(action, *args):
            try:
                action(*args)
            except Exception as error:  # pylint: disable=broad-except
                problems.append(f"{getattr(action, '__qualname__', action)}: {error}")

        for node in self.nodes.values():
            attempt(node.remove)
        for folder in self.registries:
            attempt(self.driver, "registry", "down", folder)
        if os.path.isdir(self.cluster_dir):
            logs = os.path.join(self.cluster_dir, "logs")
            if os.path.isdir(logs):
                attempt(lambda: shutil.copytree(logs, os.path.join(self.logs, "cluster")))
            attempt(self.driver, "down", self.cluster_dir)
        if self.netns is not None:
            attempt(machine.kill_all,
                    lambda: machine.processes(machine.in_namespace(self.netns.inode())))
            attempt(self.netns.remove)
        attempt(shutil.rmtree, self.dir)
        if problems:
            raise AssertionError("; ".join(problems))


class TestTimeout(Exception):
    """A test took longer than its limit."""


def limit(seconds):
    """Decorator: a test's time limit, if 180 s are not right."""
    def mark(function):
        function.limit = seconds
        return function
    return mark


def _interrupt(signum, _frame):
    if signum == signal.SIGALRM:
        raise TestTimeout()
    raise SystemExit(128 + signum)


def _run_test(env, name, function):
    """Prints the test's line; true unless it failed."""
    begin = time.monotonic()
    print(f"--- {name}", flush=True)
    why = None
    try:
        signal.alarm(getattr(function, "limit", 180))
        env.begin(name)
        function(env)
    except Skip as skip:
        print(f"skip {name} - {skip}", flush=True)
        return True
    except TestTimeout:
        why = f"not within {getattr(function, 'limit', 180)} s"
        traceback.print_exc(file=sys.stdout)
    except Exception as error:  # pylint: disable=broad-except
        why = " ".join((str(error) or type(error).__name__).split())[:1200]
        traceback.print_exc(file=sys.stdout)
    finally:
        signal.alarm(0)
    if why is not None:
        env.state()
        print(f"not ok {name} - {why}", flush=True)
    else:
        print(f"ok {name}", flush=True)
    print(f"--- {name}: {time.monotonic() - begin:.1f} s", flush=True)
    try:
        env.end()
    except Exception as error:  # pylint: disable=broad-except
        print(f"end of {name}: {error}")
    return why is None


def main():
    """Runs the test_* functions of the calling script; arguments choose those that contain one."""
    script = sys.modules["__main__"]
    suite = re.sub(r"_test$", "", os.path.splitext(os.path.basename(script.__file__))[0])
    tests = [(name[5:], value) for name, value in vars(script).items()
             if name.startswith("test_") and callable(value)]
    if sys.argv[1:]:
        tests = [t for t in tests if any(wanted in t[0] for wanted in sys.argv[1:])]
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupt)
    env = Env(suite.replace("_", "-"))
    good = True
    try:
        env.enter()
        for name, function in tests:
            good = _run_test(env, name, function) and good
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        try:
            env.close()
        except AssertionError as error:
            good = False
            print(f"not ok cleaning up - {error}", flush=True)
    sys.exit(0 if good and tests else 1)

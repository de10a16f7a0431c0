"""One burstlet node of a suite's environment: its configuration, its process, its traces."""

import json
import os
import signal
import ssl
import subprocess
import urllib.error
import urllib.request

import machine


class Node:
    """A node, running or not. Made by Env.node()."""

    def __init__(self, env, name, number, config=None, args=(), ips=None):
        self.env, self.name, self.args = env, name, list(args)
        self.ip, *self.more_ips = ips or [f"10.123.0.{number}"]
        self.port = 10250 + (number - 1) * 10
        self.root_dir = os.path.join(env.dir, name)
        self.logs_dir = os.path.join(env.dir, name + "-pods")
        self.cgroup = f"/{env.id}-{name}"
        self.pod_cidr = f"10.124.{(number - 1) * 4}.0/22"
        self.log = os.path.join(env.logs, f"node-{name}.log")
        self.identity = os.path.join(env.dir, "cluster", "nodes", name)
        self.process = None
        self.was_ready = False
        self.extra_env = {}
        self.prefix = []  # before the command line, e.g. to enter a cgroup; must exec
        env.driver("node-kubeconfig", env.cluster_dir, name, "--ip", self.ip)
        self.config = self.default_config()
        merge(self.config, config or {})

    def default_config(self):
        return {
            "apiVersion": "burstlet.io/v1alpha1",
            "kind": "BurstletConfiguration",
            "authentication": {"x509": {"clientCAFile": f"{self.identity}/ca.crt"}},
            "tlsCertFile": f"{self.identity}/kubelet.crt",
            "tlsPrivateKeyFile": f"{self.identity}/kubelet.key",
            "clusterDNS": ["10.96.0.10"],
            "clusterDomain": "cluster.local",
            "podCIDR": self.pod_cidr,
            "cgroupRoot": self.cgroup,
            "podLogsDir": self.logs_dir,
            "port": self.port,
        }

    @property
    def kubeconfig(self):
        return f"{self.identity}/kubeconfig"

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, wait=True):
        """Starts the agent; with wait, returns when the API server calls the node Ready."""
        assert not self.running(), f"{self.name} runs already"
        path = os.path.join(self.env.dir, f"{self.name}.yaml")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(self.config, out, indent=1)  # which is YAML too
        command = [
            *self.prefix, self.env.burstlet, "node", "--kubeconfig", self.kubeconfig, "--config", path,
            "--node-name", self.name, "--node-ip", ",".join([self.ip, *self.more_ips]), "--root-dir", self.root_dir, *self.args,
        ]
        with open(self.log, "ab") as log:
            log.write(f"--- {' '.join(command)}\n".encode())
            log.flush()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, **self.extra_env})
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=30):
        """Ready as of this start: the kubelet port must answer, too."""
        def registered():
            if not self.running():
                raise AssertionError(f"the node {self.name} ended with status "
                                     f"{self.process.returncode}:\n{self.log_tail()}")
            return self.healthy()
        machine.until(registered, timeout, f"{self.name} serves /healthz (log: {self.log})")
        self.env.wait_for(f"nodes/{self.name}", lambda n: condition(n, "Ready") == "True", timeout)
        self.was_ready = True

    def healthy(self):
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def kill(self):
        """kill -9: what an agent must bear at any moment."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, timeout=20):
        """SIGTERM; returns the exit status."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} did not end within {timeout} s of SIGTERM") \
                    from None
        return self.process.returncode

    def restart(self, hard=True):
        if hard:
            self.kill()
        else:
            self.stop()
        return self.start()

    def get(self, path, client="apiserver-kubelet-client", headers=None, timeout=10):
        """(status, body) of the kubelet port; client names a certificate of the cluster's pki."""
        context = ssl.create_default_context(cafile=f"{self.identity}/ca.crt")
        if client:
            base = os.path.join(self.env.cluster_dir, "pki", client)
            context.load_cert_chain(base + ".crt", base + ".key")
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        request = urllib.request.Request(f"https://{host}:{self.port}{path}",
                                         headers=headers or {})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(request, timeout=timeout) as response:
                return response.status, response.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def log_tail(self, lines=30):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as source:
                return "".join(source.readlines()[-lines:])
        except OSError:
            return ""

    def processes(self):
        """Processes of pods: wardens and containers, by the cgroup and by the root folder."""
        own = {self.pid} if self.running() else set()
        below = machine.cgroup_processes(self.cgroup)
        named = machine.processes(
            lambda pid, folder: self.root_dir in machine.command_line(pid))
        return sorted((below | set(named)) - own)

    def cgroup_folders(self):
        return machine.cgroup_folders(self.cgroup)

    def remove(self):
        """Ends the agent and everything it started, and removes its traces."""
        if self.running():
            self.kill()
        machine.kill_all(self.processes)
        for point in machine.mounts_below(self.root_dir):
            machine.run("umount", "-l", point, check=False)
        machine.until(lambda: machine.remove_cgroups(self.cgroup) or not self.cgroup_folders(), 5,
                      f"cgroups of {self.name} can be removed")


def condition(node_or_pod, name):
    """Status of a condition, None when it is not there."""
    for entry in node_or_pod.get("status", {}).get("conditions", []):
        if entry["type"] == name:
            return entry["status"]
    return None


def merge(target, changes):
    """Changes a configuration in depth; None removes a field."""
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value

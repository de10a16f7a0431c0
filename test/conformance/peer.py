"""The node to compare with: kubelet, containerd, Debian's runc and CNI plug-ins, as one node of a harness.Env.

They live in a mount namespace of their own with an empty /run, so that none of their mounts, sockets
and network namespaces is left when they are gone.
"""

import json
import os
import subprocess

import harness
import machine
from node import Node

CNI_PROGRAMS = "/usr/lib/cni"  # Debian's containernetworking-plugins


class Peer(Node):
    """Like a burstlet node to the suites: start, remove, logs."""

    def __init__(self, env, name, number, pause):
        self.bin = harness.addon("peer")
        self.pause = pause
        self.containerd = None
        super().__init__(env, name, number)

    def default_config(self):
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"x509": {"clientCAFile": f"{self.identity}/ca.crt"},
                               "anonymous": {"enabled": False}, "webhook": {"enabled": True}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{self.identity}/kubelet.crt",
            "tlsPrivateKeyFile": f"{self.identity}/kubelet.key",
            "clusterDNS": ["10.96.0.10"],
            "clusterDomain": "cluster.local",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.cgroup,
            "failCgroupV1": False,
            "failSwapOn": False,
            "serializeImagePulls": False,
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "podLogsDir": self.logs_dir,
            "port": self.port,
            "healthzPort": 0,
            "seccompDefault": True,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%",
                             "imagefs.available": "1%"},
        }

    @property
    def socket(self):
        return os.path.join(self.root_dir, "containerd.sock")

    def containerd_config(self):
        """A TOML file; strings are JSON's, which TOML takes."""
        text = json.dumps
        cri = "plugins.'io.containerd.cri.v1."
        return "\n".join([
            "version = 3",
            f"root = {text(os.path.join(self.root_dir, 'containerd'))}",
            f"state = {text(os.path.join(self.root_dir, 'containerd-state'))}",
            "[grpc]", f"address = {text(self.socket)}",
            "['plugins'.'io.containerd.internal.v1.opt']",
            f"path = {text(os.path.join(self.root_dir, 'opt'))}",
            f"[{cri}images']", "snapshotter = 'overlayfs'",
            f"[{cri}images'.pinned_images]", f"sandbox = {text(self.pause)}",
            f"[{cri}runtime']", "restrict_oom_score_adj = true",
            f"[{cri}runtime'.cni]", f"bin_dirs = [{text(CNI_PROGRAMS)}]",
            f"conf_dir = {text(os.path.join(self.root_dir, 'cni'))}",
            f"[{cri}runtime'.containerd.runtimes.runc]",
            "runtime_type = 'io.containerd.runc.v2'",
            f"[{cri}runtime'.containerd.runtimes.runc.options]",
            "BinaryName = 'runc'", "SystemdCgroup = false", "",
        ])

    def write_files(self):
        os.makedirs(os.path.join(self.root_dir, "cni"), exist_ok=True)
        os.makedirs(self.logs_dir, exist_ok=True)
        for cgroup in machine.cgroup_roots():
            os.makedirs(cgroup + self.cgroup, exist_ok=True)  # the kubelet wants to find its root
            self.copy_cpuset(cgroup)
        network = {"cniVersion": "1.0.0", "name": "peer", "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
             "hairpinMode": True,
             "ipam": {"type": "host-local", "dataDir": os.path.join(self.root_dir, "ipam"),
                      "ranges": [[{"subnet": self.pod_cidr}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}]}
        for name, content in (("cni/10-peer.conflist", json.dumps(network)),
                              ("containerd.toml", self.containerd_config()),
                              ("kubelet.yaml", json.dumps(self.config))):
            with open(os.path.join(self.root_dir, name), "w", encoding="utf-8") as out:
                out.write(content)

    def copy_cpuset(self, cgroup):
        """Version 1 makes a cpuset empty, and in an empty one nothing can run."""
        for name in ("cpuset.cpus", "cpuset.mems"):
            above, own = f"{cgroup}/{name}", f"{cgroup}{self.cgroup}/{name}"
            if os.path.exists(above) and os.path.exists(own):
                with open(above, encoding="ascii") as source, open(own, "w", encoding="ascii") as out:
                    out.write(source.read().strip())

    def start(self, wait=True):
        assert not self.running(), f"{self.name} runs already"
        self.write_files()
        self.containerd = self.spawn("containerd", [
            "unshare", "--mount", "--propagation", "private", "sh", "-c",
            'mount -t tmpfs tmpfs /run && mkdir -p /run/netns && mount --make-rshared / && exec "$@"',
            "sh", f"{self.bin}/containerd", "--config", f"{self.root_dir}/containerd.toml"])
        machine.until(lambda: os.path.exists(self.socket), 30, f"containerd serves {self.socket}")
        self.process = self.spawn("kubelet", [
            "nsenter", f"--mount=/proc/{self.containerd.pid}/ns/mnt", f"{self.bin}/kubelet",
            "--config", f"{self.root_dir}/kubelet.yaml", "--kubeconfig", self.kubeconfig,
            "--hostname-override", self.name, "--node-ip", self.ip,
            "--root-dir", os.path.join(self.root_dir, "kubelet"),
            "--cert-dir", os.path.join(self.root_dir, "pki")])
        if wait:
            self.wait_ready(timeout=90)
        return self

    def spawn(self, program, command):
        path = self.log if program == "kubelet" else \
            os.path.join(self.env.logs, f"{program}-{self.name}.log")
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        with open(path, "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env=environment)

    def remove(self):
        """The kubelet first, so that nothing is started again; the mounts go with the last process."""
        for process in (self.process, self.containerd):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(10)
        super().remove()

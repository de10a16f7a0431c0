#!/usr/bin/env python3
"""The real metrics-server beside the node: kubectl top answers, and an HPA follows the load."""

import contextlib
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

PORT = 4443
NAMESPACE = "kube-system"


@contextlib.contextmanager
def metrics_server(env):
    """A process in the suite's network; the API server reaches it by a Service that is another name."""
    folder = harness.addon("metrics-server")
    admin = f"{env.cluster_dir}/admin.kubeconfig"
    with open(os.path.join(env.logs, "metrics-server.log"), "wb") as log:
        process = subprocess.Popen(
            [f"{folder}/metrics-server", f"--kubeconfig={admin}", f"--authentication-kubeconfig={admin}",
             f"--authorization-kubeconfig={admin}", f"--secure-port={PORT}", f"--bind-address={env.ip}",
             f"--cert-dir={env.dir}/metrics-server", "--metric-resolution=10s", "--kubelet-request-timeout=5s",
             "--kubelet-preferred-address-types=InternalIP",
             f"--kubelet-certificate-authority={env.cluster_dir}/pki/ca.crt"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        name = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics-server", "namespace": NAMESPACE},
                "spec": {"type": "ExternalName", "externalName": env.ip}}
        service = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                   "metadata": {"name": "v1beta1.metrics.k8s.io"},
                   "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": True,
                            "groupPriorityMinimum": 100, "versionPriority": 100,
                            "service": {"name": "metrics-server", "namespace": NAMESPACE, "port": PORT}}}
        for thing in (name, service):
            env.kubectl("apply", "-f", "-", stdin=json.dumps(thing), ns=NAMESPACE)
        env.kubectl("wait", "apiservice/v1beta1.metrics.k8s.io", "--for=condition=Available", "--timeout=90s",
                    timeout=100)
        yield
    finally:
        process.kill()
        process.wait(10)


def top(env, *args):
    """Rows of kubectl top as lists of words; none while nothing is known."""
    text = env.kubectl("top", *args, "--no-headers", check=False)
    return [line.split() for line in text.splitlines() if line and "error" not in line.lower()]


@harness.limit(420)
def test_kubectl_top_answers_and_an_autoscaler_follows_the_load(env):
    env.node()
    with metrics_server(env):
        busy = env.container("work", "busybox:1", command=["sh", "-c", "while :; do :; done"],
                             resources={"requests": {"cpu": "50m"}, "limits": {"cpu": "200m", "memory": "32Mi"}})
        env.apply(env.deployment("busy", containers=[busy]))
        env.wait("deployment/busy", "condition=Available")
        rows = harness.until(lambda: top(env, "pod"), 90, "kubectl top pod knows the pod")
        assert rows[0][0].startswith("busy-") and rows[0][1].endswith("m"), rows
        # A limit of a fifth of a core; the window that the server took may begin before the container.
        assert 1 <= int(rows[0][1][:-1]) <= 260, rows
        assert 0 <= int(rows[0][2].removesuffix("Mi")) < 32, rows
        containers = top(env, "pod", "--containers")
        assert [row[1] for row in containers] == ["work"], containers
        node = harness.until(lambda: top(env, "node"), 60, "kubectl top node knows the node")
        assert node[0][0] == "n1" and int(node[0][1][:-1]) > 0 and node[0][2].endswith("%"), node
        env.apply({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "busy"},
                   "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "busy"},
                            "minReplicas": 1, "maxReplicas": 3,
                            "metrics": [{"type": "Resource", "resource": {
                                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}})
        # 200 m used of 50 m asked for: 400 %, so it grows to what is allowed.
        harness.until(lambda: env.get("deployment busy")["status"].get("readyReplicas", 0) == 3, 180,
                      "the autoscaler has made three replicas")


if __name__ == "__main__":
    harness.main()

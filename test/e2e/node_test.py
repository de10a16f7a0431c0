#!/usr/bin/env python3
"""The node: how it registers, keeps itself known, and whom it lets in."""

import base64
import os
import re
import socket
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

TAINT = {"key": "virtual-kubelet.io/provider", "value": "burstlet", "effect": "NoSchedule"}


def test_registers(env):
    node = env.node()
    shown = env.get("node n1")
    assert TAINT in shown["spec"]["taints"], shown["spec"]
    addresses = {a["type"]: a["address"] for a in shown["status"]["addresses"]}
    assert addresses["InternalIP"] == node.ip and addresses["Hostname"] == "n1", addresses
    port = shown["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    assert port == node.port, port
    capacity = shown["status"]["capacity"]
    assert int(capacity["cpu"]) == os.cpu_count() and capacity["pods"] == "500", capacity
    assert set(capacity) >= {"cpu", "memory", "pods", "ephemeral-storage"}, capacity
    info = shown["status"]["nodeInfo"]
    assert info["kernelVersion"] == os.uname().release and info["bootID"], info
    for kind in ("MemoryPressure", "DiskPressure", "PIDPressure"):
        assert harness.condition(shown, kind) == "False", shown["status"]["conditions"]
    for label in ("kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch"):
        assert label in shown["metadata"]["labels"], shown["metadata"]["labels"]


def test_lease_is_renewed(env):
    env.node()
    first = env.get("lease n1", ns="kube-node-lease")
    assert first["spec"]["holderIdentity"] == "n1", first
    owner = first["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("Node", "n1"), owner
    harness.until(lambda: env.get("lease n1", ns="kube-node-lease")["spec"]["renewTime"]
                  != first["spec"]["renewTime"], 25, "the lease is renewed")


def test_pods_without_toleration_stay_away(env):
    env.node()
    pod = env.pod("stranger")
    del pod["spec"]["tolerations"]
    env.apply(pod)
    env.wait_for("pods/stranger", lambda p: any(
        c["type"] == "PodScheduled" and c["status"] == "False" and "taint" in c["message"]
        for c in p["status"].get("conditions", [])), 20)


def test_a_deleted_node_object_comes_back(env):
    env.node()
    before = env.get("node n1")["metadata"]["uid"]
    env.delete("node n1")
    env.wait_for("nodes/n1", lambda n: n["metadata"]["uid"] != before and
                 harness.condition(n, "Ready") == "True", 60)


def test_strangers_get_nothing(env):
    node = env.node()
    for path in ("/pods", "/metrics", "/metrics/resource", "/containerLogs/default/a/b",
                 "/exec/default/a/b?command=id", "/configz", "/no-such-path"):
        status, _ = node.get(path, client=None)
        assert status == 401, (path, status)
    assert node.get("/pods", client=None, headers={"Authorization": "Bearer x"})[0] == 401
    # Of the same authority, but with no rights.
    path = env.driver("user-kubeconfig", env.cluster_dir, "eve").strip()
    pair = client_pair(env, path)
    assert node.get("/pods", client=pair)[0] == 403
    assert node.get("/pods")[0] == 200


def client_pair(env, kubeconfig):
    """Writes the certificate and key of a kubeconfig as files; their name for Node.get()."""
    with open(kubeconfig, encoding="utf-8") as source:
        text = source.read()
    base = os.path.join(env.cluster_dir, "pki", "eve")
    for field, suffix in (("client-certificate-data", ".crt"), ("client-key-data", ".key")):
        data = re.search(field + r": (\S+)", text).group(1)
        with open(base + suffix, "wb") as out:
            out.write(base64.b64decode(data))
    return "eve"


def test_port_speaks_modern_tls_only(env):
    node = env.node()
    context = ssl.create_default_context(cafile=f"{node.identity}/ca.crt")
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((node.ip, node.port), 5) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=node.ip):
                raise AssertionError("TLS 1.1 was accepted")
        except (ssl.SSLError, ConnectionError):
            pass


def test_survives_an_absent_api_server(env):
    node = env.node()
    env.apply(env.pod("web", image="web:1"))
    env.wait_ready("pod/web")
    ip = env.pod_ip("web")
    env.control_plane("stop")
    try:
        assert "hello from web" in env.fetch(f"http://{ip}/")
        assert node.running()
    finally:
        env.control_plane("start")
    assert node.running()
    env.delete("pod web", timeout=90)


def test_orderly_restart_keeps_pods(env):
    node = env.node()
    env.apply(env.pod("stays"))
    env.wait_ready("pod/stays")
    before = env.get("pod stays")["status"]["containerStatuses"]
    status = node.stop()
    assert status == 0, f"SIGTERM gave status {status}\n{node.log_tail()}"
    node.start()
    env.wait_ready("pod/stays")
    assert env.get("pod stays")["status"]["containerStatuses"] == before


if __name__ == "__main__":
    harness.main()

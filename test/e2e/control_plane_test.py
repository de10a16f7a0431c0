#!/usr/bin/env python3
"""The ground the other suites stand on: control plane, identities, registries, images."""

import base64
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import machine  # noqa: E402


def test_serves(env):
    env.cluster()
    assert env.kubectl("get", "--raw", "/readyz") == "ok"
    version = json.loads(env.kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"] == "v1.37.2", version


def test_node_may_touch_only_its_own(env):
    env.cluster()
    env.driver("node-kubeconfig", env.cluster_dir, "a", "--ip", env.ip)
    mine = f"{env.cluster_dir}/nodes/a/kubeconfig"
    env.kubectl_as(mine, "create", "-f", "-", stdin=json.dumps(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}))
    assert env.kubectl_as(mine, "get", "node", "a", "-o", "name").strip() == "node/a"
    for args in (("get", "node", "b"), ("get", "secrets", "-A"), ("delete", "namespace", "default")):
        try:
            env.kubectl_as(mine, *args)
        except harness.CommandError as error:
            assert "Forbidden" in error.stderr, error
        else:
            raise AssertionError(f"{args} was allowed")
    env.kubectl("delete", "node", "a")


def test_bootstrap_token_gets_a_certificate(env):
    env.cluster()
    path = env.driver("bootstrap-kubeconfig", env.cluster_dir).strip()
    assert "system:bootstrappers" in env.kubectl_as(path, "auth", "whoami", "-o", "json")
    key, request = f"{env.dir}/csr.key", f"{env.dir}/csr.pem"
    env_csr = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-keyout", key, "-out", request, "-subj", "/O=system:nodes/CN=system:node:c"]
    machine.run(*env_csr)
    with open(request, "rb") as source:
        encoded = base64.b64encode(source.read()).decode()
    env.kubectl_as(path, "create", "-f", "-", stdin=json.dumps({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "c"},
        "spec": {"signerName": "kubernetes.io/kube-apiserver-client-kubelet", "request": encoded,
                 "usages": ["digital signature", "client auth"]}}))
    env.wait("csr/c", "jsonpath={.status.certificate}", 30)


def test_api_server_goes_and_comes(env):
    env.cluster()
    env.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    env.control_plane("stop")
    try:
        env.kubectl("get", "configmaps", timeout=20)
    except (harness.CommandError, subprocess.TimeoutExpired):
        pass
    else:
        raise AssertionError("a stopped API server answered")
    env.control_plane("start")
    assert env.get("configmap kept")["data"] == {"a": "b"}


def test_controllers_work(env):
    env.apply(env.deployment("web", replicas=2, image="example.invalid/web:1"))
    harness.until(lambda: len(env.get("pods -l app=web")["items"]) == 2, 20, "two pods are made")


def test_second_cluster_beside_it(env):
    folder = f"{env.dir}/second"
    env.driver("up", folder, "--ip", "127.0.0.1", "--owner", os.getpid())
    try:
        names = env.kubectl_as(f"{folder}/admin.kubeconfig", "get", "nodes", "-o", "name")
        assert names.strip() == "", names
        with open(f"{folder}/pids", encoding="ascii") as source:
            pids = [int(line.split()[1]) for line in source]
    finally:
        env.driver("down", folder)
    assert not os.path.exists(folder)
    alive = machine.processes(lambda pid, _: pid in pids)
    assert not alive, alive


def test_cluster_ends_with_its_owner(env):
    folder = f"{env.dir}/owned"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner:
        env.driver("up", folder, "--ip", "127.0.0.1", "--owner", owner.pid)
        with open(f"{folder}/pids", encoding="ascii") as source:
            pids = [int(line.split()[1]) for line in source]
        owner.stdin.close()
        owner.wait(10)
    harness.until(lambda: not machine.processes(lambda pid, _: pid in pids), 10,
                  "all processes of the cluster have ended")
    env.driver("down", folder)
    assert not os.path.exists(folder)


def test_registry_holds_the_images(env):
    catalog = json.loads(env.fetch(f"http://{env.registry}/v2/_catalog"))["repositories"]
    for name in ("agnhost", "busybox", "configured", "layers", "multiarch", "pause", "web"):
        assert name in catalog, catalog


def test_private_registry_wants_tls_and_login(env):
    address, ca = env.private_registry("alice:wonder", "busybox")
    curl = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
    url = f"https://{address}/v2/busybox/manifests/1"
    assert machine.run(*curl, "--cacert", ca, url) == "401"
    assert machine.run(*curl, "--cacert", ca, "-u", "alice:wrong", url) == "401"
    assert machine.run(*curl, "--cacert", ca, "-u", "alice:wonder", "-H",
                       "Accept: application/vnd.docker.distribution.manifest.v2+json", url) == "200"
    try:
        machine.run(*curl, url)
    except harness.CommandError as error:
        assert error.status == 60, error  # the certificate's authority is unknown
    else:
        raise AssertionError("a certificate of an unknown authority was accepted")


def test_token_registry_sends_to_its_service(env):
    address, ca = env.private_registry("alice:wonder", "busybox", kind="token")
    heads = machine.run("curl", "--silent", "--include", "--cacert", ca,
                        f"https://{address}/v2/busybox/manifests/1")
    assert "401" in heads.splitlines()[0], heads
    realm = [line for line in heads.splitlines() if line.lower().startswith("www-authenticate")][0]
    url = realm.split('realm="')[1].split('"')[0]
    query = "?service=burstlet-test-registry&scope=repository:busybox:pull"
    token = json.loads(machine.run("curl", "--silent", "--cacert", ca, "-u", "alice:wonder",
                                   url + query))["token"]
    head = machine.run("curl", "--silent", "--head", "--cacert", ca, "-H",
                       f"Authorization: Bearer {token}", "-H",
                       "Accept: application/vnd.docker.distribution.manifest.v2+json",
                       f"https://{address}/v2/busybox/manifests/1")
    assert "200" in head.splitlines()[0], head


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""The node's certificates: by a bootstrap token, renewed, and the kubelet port's by CSR."""

import glob
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness
from harness import condition, run, until

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"


def bootstrap_kubeconfig(env):
    path = os.path.join(env.cluster_dir, "bootstrap.kubeconfig")
    if not os.path.exists(path):
        env.driver("bootstrap-kubeconfig", env.cluster_dir)
    return path


def joining_node(env, name, *args, config=None):
    """A node without an identity, which asks for one with the bootstrap token."""
    env.cluster()
    node = env.node(name, config=config, start=False,
                    args=("--bootstrap-kubeconfig", bootstrap_kubeconfig(env), *args))
    node.certs = os.path.join(node.root_dir, "pki")
    if os.path.exists(node.kubeconfig):
        os.remove(node.kubeconfig)
    return node


def requests_of(env, name, signer=CLIENT_SIGNER):
    """CSRs that are about this node, oldest first."""
    found = []
    for item in env.get("certificatesigningrequests")["items"]:
        subject = run("openssl", "req", "-noout", "-subject",
                      stdin=run("base64", "-d", stdin=item["spec"]["request"]))
        if item["spec"]["signerName"] == signer and f"system:node:{name}" in subject:
            found.append(item)
    return sorted(found, key=lambda i: i["metadata"]["creationTimestamp"])


def fingerprint(path):
    return run("openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256").strip()


def signer(env, *args):
    """Ends the controller-manager, which signs, and starts another with further flags."""
    env.cluster()
    env.control_plane("stop", "controller-manager")
    if getattr(env, "signer", None) is not None:
        env.signer.kill()
        env.signer.wait(10)
    with open(os.path.join(env.cluster_dir, "spec.json"), encoding="utf-8") as source:
        command = next(c["argv"] for c in json.load(source)["components"]
                       if c["name"] == "controller-manager")
    with open(os.path.join(env.logs, "signer.log"), "ab") as log:
        # It ends with the suite.
        env.signer = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command, *args], stdout=log, stderr=log)


def metric(node, name):
    status, text = node.get("/metrics")
    assert status == 200, (status, text[:300])
    found = re.search(rf"^{name} (\S+)$", text, re.M)
    return float(found.group(1)) if found else None


def test_node_joins_with_a_token_and_has_one_certificate(env):
    node = joining_node(env, "joins")
    node.start()
    filed = requests_of(env, "joins")
    assert len(filed) == 1, filed
    assert filed[0]["metadata"]["name"].startswith("node-csr-"), filed
    assert sorted(filed[0]["spec"]["usages"]) == ["client auth", "digital signature"], filed
    assert filed[0]["spec"]["username"].startswith("system:bootstrap:"), filed
    current = f"{node.certs}/kubelet-client-current.pem"
    assert os.path.islink(current) and os.stat(current).st_mode & 0o777 == 0o600
    assert os.stat(node.kubeconfig).st_mode & 0o777 == 0o600
    with open(node.kubeconfig, encoding="utf-8") as source:
        text = source.read()
    assert current in text and "token" not in text, text
    assert env.kubectl_as(node.kubeconfig, "auth", "whoami", "-o",
                          "jsonpath={.status.userInfo.username}") == "system:node:joins"
    left = metric(node, "kubelet_certificate_manager_client_ttl_seconds")
    assert left > 3600, left
    assert metric(node, "kubelet_certificate_manager_client_expiration_renew_errors") == 0
    # It joins once: the next start uses what it has, also when the token's file is gone.
    node.args = [a if a != bootstrap_kubeconfig(env) else a + ".gone" for a in node.args]
    node.restart()
    assert len(requests_of(env, "joins")) == 1


@harness.limit(240)
def test_an_agent_killed_at_any_point_of_joining_has_one_certificate(env):
    # Without a signer the request waits: a kill finds it there.
    env.cluster()
    node = joining_node(env, "killed")
    env.control_plane("stop", "controller-manager")
    try:
        node.start(wait=False)
        until(lambda: requests_of(env, "killed"), 30, "the request is filed")
        for _ in range(2):
            node.kill()
            node.start(wait=False)
            until(lambda: "Found the request of an agent before" in node.log_tail(3), 20,
                  "the next agent finds the request")
    finally:
        env.control_plane("start", "controller-manager")
    node.wait_ready(60)
    assert len(requests_of(env, "killed")) == 1
    first = fingerprint(f"{node.certs}/kubelet-client-current.pem")
    # Killed between the certificate and the kubeconfig, and before the request's key is gone.
    node.kill()
    os.remove(node.kubeconfig)
    run("cp", f"{node.certs}/kubelet-client-current.pem", f"{node.certs}/kubelet-client.key.tmp")
    node.start()
    assert fingerprint(f"{node.certs}/kubelet-client-current.pem") == first
    # Killed with the certificate issued and nothing of it on disk: the same again.
    node.kill()
    os.remove(node.kubeconfig)
    run("sh", "-c", f"openssl ec -in {node.certs}/kubelet-client-current.pem "
                    f"-out {node.certs}/kubelet-client.key.tmp")
    for path in glob.glob(f"{node.certs}/kubelet-client-*.pem"):
        os.remove(path)
    node.start()
    assert fingerprint(f"{node.certs}/kubelet-client-current.pem") == first
    assert len(requests_of(env, "killed")) == 1


def test_a_denied_request_is_told_and_asked_again(env):
    env.cluster()
    node = joining_node(env, "denied")
    env.control_plane("stop", "controller-manager")
    try:
        node.start(wait=False)
        filed = until(lambda: requests_of(env, "denied"), 30, "the request is filed")
        env.kubectl("certificate", "deny", filed[0]["metadata"]["name"])
        until(lambda: "is denied, reason: KubectlDeny" in node.log_tail(50), 20, "the denial is told")
        until(lambda: len(requests_of(env, "denied")) == 2, 30, "it asks again with another key")
    finally:
        env.control_plane("start", "controller-manager")
    node.wait_ready(60)
    node.stop()


def test_wrong_bootstrap_files_are_named(env):
    node = joining_node(env, "denied")
    node.args = ["--bootstrap-kubeconfig", "/nonexistent/boot"]
    node.start(wait=False)
    assert node.process.wait(20) == 2
    assert "--bootstrap-kubeconfig /nonexistent/boot" in node.log_tail(2), node.log_tail(2)


@harness.limit(300)
def test_the_client_certificate_is_renewed_while_watches_go_on(env):
    node = joining_node(env, "renews")
    # The signer dates back by 5 minutes, so that these are due at once: renewed after a tenth of their 40 s.
    signer(env, "--cluster-signing-duration=40s")
    try:
        node.start()
        current = f"{node.certs}/kubelet-client-current.pem"
        first = fingerprint(current)
        # A pod made before, one after: the same watch told of both.
        env.apply(env.pod("before", nodeName="renews"))
        env.wait_ready("pod/before")
        until(lambda: fingerprint(current) != first, 60, "another certificate is in use")
        assert requests_of(env, "renews")[-1]["spec"]["username"] == "system:node:renews"
        env.apply(env.pod("after", nodeName="renews"))
        env.wait_ready("pod/after")
        second = fingerprint(current)
        until(lambda: fingerprint(current) != second, 60, "and another")
        left = metric(node, "kubelet_certificate_manager_client_ttl_seconds")
        assert 0 < left <= 40, left
        assert "Unauthorized" not in node.log_tail(400), node.log_tail(400)
        # The API server is away until the certificate has expired: the token is used again.
        env.control_plane("stop")
        until(lambda: expired(current), 90, "the certificate expires")
    finally:
        env.control_plane("start")
    until(lambda: not expired(current), 90, "a new certificate after the outage")
    env.apply(env.pod("later", nodeName="renews"))
    env.wait_ready("pod/later")
    env.wait_for("nodes/renews", lambda n: condition(n, "Ready") == "True")
    node.stop()
    signer(env, "--cluster-signing-duration=24h")


def expired(path):
    return subprocess.run(["openssl", "x509", "-in", path, "-noout", "-checkend", "0"], check=False,
                          stdout=subprocess.DEVNULL).returncode != 0


def serving_names(node, cafile=None):
    """What the kubelet port's certificate says, by openssl; verified when an authority is given."""
    context = ssl.create_default_context(cafile=cafile) if cafile else ssl._create_unverified_context()
    with socket.create_connection((node.ip, node.port), 10) as plain:
        with context.wrap_socket(plain, server_hostname=node.ip) as secure:
            der = secure.getpeercert(binary_form=True)
    return run("openssl", "x509", "-noout", "-issuer", "-subject", "-ext", "subjectAltName",
               stdin=ssl.DER_cert_to_PEM_cert(der))


def issued(node):
    try:
        return serving_names(node, f"{node.identity}/ca.crt")
    except ssl.SSLCertVerificationError:
        return None


@harness.limit(240)
def test_the_serving_certificate_is_issued_by_csr_and_swapped_in(env):
    node = env.node("serves", start=False, config={
        "serverTLSBootstrap": True, "tlsCertFile": None, "tlsPrivateKeyFile": None})
    node.start(wait=False)
    env.wait_for("nodes/serves", lambda n: condition(n, "Ready") == "True")
    filed = until(lambda: requests_of(env, "serves", SERVING_SIGNER), 30, "a request is filed")
    assert filed[0]["spec"]["username"] == "system:node:serves", filed
    assert sorted(filed[0]["spec"]["usages"]) == ["digital signature", "server auth"], filed
    # Its own meanwhile; a connection made to that stays.
    assert issued(node) is None
    assert "serves" in serving_names(node)
    kept = ssl._create_unverified_context().wrap_socket(
        socket.create_connection((node.ip, node.port), 10))
    env.kubectl("certificate", "approve", filed[0]["metadata"]["name"])
    names = until(lambda: issued(node), 30, "the issued certificate is served")
    assert "DNS:serves" in names and f"IP Address:{node.ip}" in names, names
    kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n")
    assert kept.recv(100).startswith(b"HTTP/1.1 401 "), "the connection from before was cut"
    kept.close()
    assert node.get("/healthz")[0] == 200
    assert metric(node, "kubelet_certificate_manager_server_ttl_seconds") > 0
    # The API server verifies kubelets by this authority: logs come over the issued certificate.
    env.apply(env.pod("speaks", image="busybox:1", nodeName="serves",
                      command=["sh", "-c", "echo heard; sleep 1000"]))
    env.wait_ready("pod/speaks")
    assert env.logs_of("speaks") == "heard\n"
    # Kept over a restart; another address means another certificate.
    node.restart()
    assert len(requests_of(env, "serves", SERVING_SIGNER)) == 1
    assert issued(node)
    node.kill()
    node.ip = "10.123.0.8"
    node.start(wait=False)
    more = until(lambda: [r for r in requests_of(env, "serves", SERVING_SIGNER)
                          if not r.get("status", {}).get("conditions")], 60,
                 "a request for the other address")
    env.kubectl("certificate", "approve", more[0]["metadata"]["name"])
    assert "10.123.0.8" in until(lambda: issued(node), 30, "the other certificate is served")
    left = metric(node, "kubelet_certificate_manager_server_rotation_seconds_count")
    assert left == 1, left
    node.stop()


class Secret:
    """A folder like a mounted Secret: files are links into a folder that is swapped as a whole."""

    def __init__(self, folder, **files):
        self.folder, self.version = folder, 0
        os.makedirs(folder)
        self.swap(**files)
        for name in files:
            os.symlink(f"..data/{name}", os.path.join(folder, name))

    def swap(self, **files):
        self.version += 1
        version = f"..v{self.version}"
        os.makedirs(os.path.join(self.folder, version))
        for name, source in files.items():
            run("cp", source, os.path.join(self.folder, version, name))
        os.symlink(version, os.path.join(self.folder, "..tmp"))
        os.rename(os.path.join(self.folder, "..tmp"), os.path.join(self.folder, "..data"))


def test_files_of_the_port_are_followed_through_swapped_links(env):
    env.cluster()
    node = env.node("follows", start=False)
    pki = os.path.join(env.cluster_dir, "pki")
    other = {"crt": f"{node.identity}/client.crt", "key": f"{node.identity}/client.key"}
    good = {"crt": f"{node.identity}/kubelet.crt", "key": f"{node.identity}/kubelet.key"}
    serving = Secret(os.path.join(env.dir, "serving"), **other)
    authority = Secret(os.path.join(env.dir, "authority"), ca=f"{pki}/ca.crt")
    node.config["tlsCertFile"] = f"{serving.folder}/crt"
    node.config["tlsPrivateKeyFile"] = f"{serving.folder}/key"
    node.config["authentication"]["x509"]["clientCAFile"] = f"{authority.folder}/ca"
    node.start(wait=False)
    env.wait_for("nodes/follows", lambda n: condition(n, "Ready") == "True")
    assert "subject=O = system:nodes, CN = system:node:follows" in serving_names(node)
    # Broken files change nothing but the log; good ones are served to the next connection.
    serving.swap(crt="/etc/hostname", key="/etc/hostname")
    assert "CN = system:node:follows" in serving_names(node)
    assert "Kept the present serving certificate" in node.log_tail(), node.log_tail()
    serving.swap(**good)
    assert f"IP Address:{node.ip}" in serving_names(node)
    assert node.get("/healthz")[0] == 200
    authority.swap(ca=f"{pki}/front-proxy-ca.crt")
    assert node.get("/healthz")[0] == 401
    authority.swap(ca=f"{pki}/ca.crt")
    assert node.get("/healthz")[0] == 200
    node.stop()


class Relay(threading.Thread):
    """Takes connections at an address and passes them on; as a proxy it is told where to."""

    def __init__(self, family, address, target=None):
        super().__init__(daemon=True)
        self.socket = socket.socket(family)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, 0))
        self.socket.listen(64)
        self.port = self.socket.getsockname()[1]
        self.target, self.asked = target, []
        self.start()

    def run(self):
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        target = self.target
        if target is None:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096) or b"\r\n\r\n"
            verb, where = head.decode().split()[:2]
            self.asked.append((verb, where))
            host, port = where.rsplit(":", 1)
            target = (host.strip("[]"), int(port))
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        server = socket.create_connection(target)
        back = threading.Thread(target=pump, args=(server, client), daemon=True)
        back.start()
        pump(client, server)


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def edit(path, pattern, replacement):
    with open(path, encoding="utf-8") as source:
        text = source.read()
    changed = re.sub(pattern, replacement, text)
    assert changed != text, f"{pattern} is not in {path}"
    with open(path, "w", encoding="utf-8") as out:
        out.write(changed)
    return re.search(pattern, text).group(0)


def api_server(env):
    with open(os.path.join(env.cluster_dir, "spec.json"), encoding="utf-8") as source:
        url = re.search(r"https://([0-9.]+):(\d+)", json.load(source)["facts"]["server"])
    return url.group(1), int(url.group(2))


def test_an_ipv6_address_of_the_api_server_works(env):
    env.cluster()
    node = env.node("six", start=False)
    relay = Relay(socket.AF_INET6, "::1", api_server(env))
    edit(node.kubeconfig, r"server: \S+",
         f"server: https://[::1]:{relay.port}\n    tls-server-name: {api_server(env)[0]}")
    node.start()
    env.apply(env.pod("six", nodeName="six"))
    env.wait_ready("pod/six")
    node.stop()


def test_the_way_to_the_api_server_may_lead_over_a_proxy(env):
    env.cluster()
    node = env.node("six", start=False)
    env.driver("node-kubeconfig", env.cluster_dir, "six", "--ip", node.ip)
    proxy = Relay(socket.AF_INET, env.ip)
    node.extra_env = {"HTTPS_PROXY": f"http://{env.ip}:{proxy.port}"}
    node.start()
    env.apply(env.pod("proxied", nodeName="six"))
    env.wait_ready("pod/proxied")
    assert ("CONNECT", "%s:%d" % api_server(env)) in proxy.asked, proxy.asked
    node.stop()


if __name__ == "__main__":
    harness.main()

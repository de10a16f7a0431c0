#!/usr/bin/env python3
"""Who may ask the kubelet port what: every path by every kind of client, with RBAC of a real API server."""

import http.client
import json
import os
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness
from harness import run, until

# Every path of a kubelet, with the subresources of which each alone is enough
# (pkg/kubelet/server/auth.go with KubeletFineGrainedAuthz).
PATHS = [
    ("GET", "/healthz", "healthz proxy"),
    ("GET", "/healthz/ping", "healthz proxy"),
    ("GET", "/healthz/log", "healthz proxy"),
    ("GET", "/healthz/syncloop", "healthz proxy"),
    ("GET", "/pods", "pods proxy"),
    ("GET", "/runningpods/", "pods proxy"),
    ("GET", "/configz", "configz proxy"),
    ("GET", "/stats/summary", "stats"),
    ("GET", "/stats/summary?only_cpu_and_memory=true", "stats"),
    ("GET", "/metrics", "metrics"),
    ("GET", "/metrics/cadvisor", "metrics"),
    ("GET", "/metrics/probes", "metrics"),
    ("GET", "/metrics/resource", "metrics"),
    ("GET", "/metrics/slis", "metrics"),
    ("GET", "/containerLogs/NS/subject/main", "proxy"),
    ("GET", "/exec/NS/subject/main?command=true&output=1", "proxy"),
    ("POST", "/exec/NS/subject/main?command=true&output=1", "proxy"),
    ("POST", "/exec/NS/subject/UID/main?command=true&output=1", "proxy"),
    ("GET", "/attach/NS/subject/main?output=1", "proxy"),
    ("POST", "/attach/NS/subject/main?output=1", "proxy"),
    ("POST", "/attach/NS/subject/UID/main?output=1", "proxy"),
    ("GET", "/portForward/NS/subject?port=80", "proxy"),
    ("POST", "/portForward/NS/subject", "proxy"),
    ("POST", "/portForward/NS/subject/UID", "proxy"),
    ("POST", "/run/NS/subject/main?cmd=true", "proxy"),
    ("POST", "/run/NS/subject/UID/main?cmd=true", "proxy"),
    ("POST", "/checkpoint/NS/subject/main", "checkpoint"),
    ("GET", "/logs/", "log"),
    ("GET", "/logs/messages", "log"),
    ("GET", "/debug/pprof/heap", "proxy"),
    ("PUT", "/debug/flags/v", "proxy"),
    ("GET", "/flagz", "configz"),
    ("GET", "/statusz", "statusz"),
    # No paths of a kubelet: what is not known needs the widest right, and nothing leads around it.
    ("GET", "/", "proxy"),
    ("GET", "/unknown", "proxy"),
    ("GET", "/metricsx", "proxy"),
    ("GET", "//metrics", "proxy"),
    ("PATCH", "/pods", "pods proxy"),
    ("DELETE", "/metrics", "metrics"),
]
SUBRESOURCES = ["checkpoint", "configz", "healthz", "log", "metrics", "pods", "proxy", "stats", "statusz"]
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Client:
    """A client of the port: by a certificate, by a token, or by nothing."""

    def __init__(self, node, cert=None, token=None):
        self.node, self.token = node, token
        self.context = ssl.create_default_context(cafile=f"{node.identity}/ca.crt")
        if cert:
            self.context.load_cert_chain(cert + ".crt", cert + ".key")

    def ask(self, method, path):
        """(status, body)"""
        connection = http.client.HTTPSConnection(self.node.ip, self.node.port, timeout=20,
                                                 context=self.context)
        try:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()


def identity(env, name, *args):
    """A client certificate of the cluster's authority for system:node:NAME; base name of its files."""
    folder = os.path.join(env.dir, "identities", name)
    env.driver("node-kubeconfig", env.cluster_dir, name, "--out", folder, *args)
    return f"{folder}/client"


def paths(env):
    """PATHS with the names of a pod that is there."""
    env.node()
    env.ns = "default"
    env.apply(env.pod("subject", nodeName="n1"))
    env.wait_ready("pod/subject")
    uid = env.get("pod subject")["metadata"]["uid"]
    return [(method, path.replace("NS", "default").replace("UID", uid), rights.split())
            for method, path, rights in PATHS]


def grants():
    """What kinds of clients the matrix needs: name -> (verb, subresources)."""
    found = {}
    for method, _, rights in PATHS:
        verb, allowed = VERBS[method], rights.split()
        for right in allowed:
            found[f"only-{verb}-{right}"] = (verb, [right])
        found[f"but-{verb}-{'-'.join(allowed)}"] = (verb, [s for s in SUBRESOURCES if s not in allowed])
    return found


def grant(env, names):
    """A ServiceAccount and a certificate's user of that name for each, with exactly these rights; their tokens."""
    items = []
    for name, (verb, subresources) in names.items():
        items += [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
             "rules": [{"apiGroups": [""], "verbs": [verb],
                        "resources": [f"nodes/{s}" for s in subresources]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
             "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"},
                          {"kind": "User", "name": f"system:node:{name}",
                           "apiGroup": "rbac.authorization.k8s.io"}]}]
    env.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}),
                ns="default")
    for name, (verb, subresources) in names.items():
        until(lambda: allowed(env, name, verb, subresources[0]), 30, f"RBAC knows {name}")  # pylint: disable=cell-var-from-loop
    return {name: token(env, name) for name in names}


def allowed(env, name, verb, subresource):
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": f"system:serviceaccount:default:{name}",
        "resourceAttributes": {"verb": verb, "resource": "nodes", "subresource": subresource}}}
    return env.kubectl("create", "--raw", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "-f", "-",
                       stdin=json.dumps(review)).find('"allowed":true') >= 0


def token(env, name):
    """By TokenRequest."""
    answer = env.kubectl("create", "--raw", f"/api/v1/namespaces/default/serviceaccounts/{name}/token", "-f", "-",
                         stdin=json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                                           "spec": {}}))
    return json.loads(answer)["status"]["token"]


def test_strangers_get_401_on_every_path(env):
    node = env.node()
    wrong = os.path.join(env.dir, "wrong")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
        "-subj", "/O=system:masters/CN=admin", "-keyout", wrong + ".key", "-out", wrong + ".crt")
    old = identity(env, "expired", "--ttl", "1s")
    until(lambda: subprocess.run(["openssl", "x509", "-in", old + ".crt", "-noout", "-checkend", "0"], check=False,
                                 stdout=subprocess.DEVNULL).returncode, 20, "the certificate expires")
    strangers = {"nothing": Client(node), "wrong authority": Client(node, wrong), "expired": Client(node, old),
                 "no token": Client(node, token="abc.def"),
                 "wrong authority and bad token": Client(node, wrong, token="a")}
    for method, path, _ in paths(env):
        for name, client in strangers.items():
            answer = client.ask(method, path)
            assert answer == (401, "Unauthorized"), (name, method, path, answer)


def test_without_the_right_every_path_is_403_in_the_kubelets_words(env):
    node = env.node()
    # A node's own identity has no rights at the port; nor has a ServiceAccount nobody gave any.
    env.kubectl("create", "serviceaccount", "rightless", ns="default")
    clients = {"system:node:rightless": Client(node, identity(env, "rightless")),
               "system:serviceaccount:default:rightless": Client(node, token=token(env, "rightless"))}
    for method, path, rights in paths(env):
        for user, client in clients.items():
            answer = client.ask(method, path)
            words = f"Forbidden (user={user}, verb={VERBS[method]}, resource=nodes, " \
                    f"subresource(s)=[{' '.join(rights)}])\n"
            assert answer == (403, words), (method, path, answer)


@harness.limit(240)
def test_exactly_the_right_needed_opens_a_path_and_all_others_do_not(env):
    node = env.node()
    names = grants()
    tokens = grant(env, names)
    by_token = {name: Client(node, token=value) for name, value in tokens.items()}
    by_cert = {name: Client(node, identity(env, name)) for name in names if name.startswith("only-")}
    for method, path, rights in paths(env):
        verb = VERBS[method]
        for right in rights:
            for kind, clients in (("token", by_token), ("certificate", by_cert)):
                status, body = clients[f"only-{verb}-{right}"].ask(method, path)
                assert status not in (401, 403), (kind, right, method, path, status, body)
        status, body = by_token[f"but-{verb}-{'-'.join(rights)}"].ask(method, path)
        assert status == 403, (method, path, status, body)


def test_nobody_is_anonymous_unless_configured(env):
    node = env.node("open", config={
        "authentication": {"anonymous": {"enabled": True}},
        "authorization": {"webhook": {"cacheUnauthorizedTTL": "1s"}}})
    stranger = Client(node)
    assert stranger.ask("GET", "/pods") == (
        403, "Forbidden (user=system:anonymous, verb=get, resource=nodes, subresource(s)=[pods proxy])\n")
    assert Client(node, token="abc").ask("GET", "/pods")[0] == 401
    env.kubectl("create", "clusterrole", "health", "--verb=get", "--resource=nodes/healthz", ns="default")
    env.kubectl("create", "clusterrolebinding", "health", "--clusterrole=health", "--user=system:anonymous",
                ns="default")
    until(lambda: stranger.ask("GET", "/healthz") == (200, "ok"), 30, "the right counts after the cache's time")
    node.stop()


def test_tokens_and_reviews_may_be_switched_off(env):
    env.kubectl("create", "serviceaccount", "somebody", ns="default")
    node = env.node("local", config={"authentication": {"webhook": {"enabled": False}},
                                     "authorization": {"mode": "AlwaysAllow"}})
    assert Client(node, token=token(env, "somebody")).ask("GET", "/pods")[0] == 401
    assert Client(node, identity(env, "anybody")).ask("GET", "/pods")[0] == 200
    assert Client(node).ask("GET", "/pods")[0] == 401
    node.stop()


def test_tls_is_as_configured(env):
    node = env.node("tls", config={
        "tlsMinVersion": "VersionTLS12",
        "tlsCipherSuites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]})

    def speaks(*args):
        return subprocess.run(["openssl", "s_client", "-connect", f"{node.ip}:{node.port}", *args], check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=20).stdout

    assert "-AES256-GCM-SHA384" in speaks("-tls1_2")
    assert "Cipher is (NONE)" in speaks("-tls1_2", "-cipher", "ECDHE+AES128")
    assert "Cipher is TLS_" in speaks("-tls1_3")
    assert "Cipher is (NONE)" in speaks("-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
    node.stop()
    for field, value, words in (("tlsMinVersion", "TLS1.2", 'unknown tls version "TLS1.2"'),
                                ("tlsCipherSuites", ["X"], "Cipher suite X not supported or doesn't exist")):
        node.config[field] = value
        node.start(wait=False)
        assert node.process.wait(20) == 2
        assert f"{field}: {words}" in node.log_tail(2), node.log_tail(2)
        node.config.pop(field)


if __name__ == "__main__":
    harness.main()

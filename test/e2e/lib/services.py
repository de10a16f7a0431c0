"""A cluster's network programs on burstlet nodes: the real kube-proxy and CoreDNS, run as their own pods, and ways to ask
through them from a pod and from the node."""

import json
import os
import socket
import struct
import urllib.error
import urllib.parse

import harness

DNS4, DNS6 = "10.96.0.10", "fd00:96::a"
NODE6 = "fd00:123::1"
DUAL_STACK = "--apiserver-arg=--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112"
PODS4, PODS6 = "10.124.0.0/16", "fd00:124::/48"
SYSTEM = "kube-system"


def outside(dual_stack=False):
    """Gives the node a default route, as every node has: what is sent to a ClusterIP is routed first and translated then."""
    harness.run("ip", "route", "replace", "default", "via", "10.123.0.250", "dev", "node0")
    if dual_stack:
        harness.run("ip", "-6", "address", "replace", f"{NODE6}/64", "dev", "node0", "nodad")
        harness.run("ip", "-6", "route", "replace", "default", "via", "fd00:123::fa", "dev", "node0")


def objects(env, *things):
    """Applies objects that name their namespaces themselves."""
    env.kubectl("apply", "-f", "-", ns=SYSTEM,
                stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(things)}))


def account(name, role):
    """A service account of kube-system and its cluster role."""
    return [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": f"test:{name}"},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
             "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}]}]


def config_map(name, data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": SYSTEM}, "data": data}


def server(env):
    """Address of the API server, as a kube-proxy needs it before there are Services."""
    with open(f"{env.cluster_dir}/spec.json", encoding="utf-8") as source:
        return json.load(source)["facts"]["server"]


def push_kube_proxy(env):
    """The image of kube-proxy: its program, and Debian's nft and iptables with their libraries."""
    folder = harness.addon("kube-proxy")
    tables = [f"/usr/sbin/{name}-nft=/usr/sbin/{name}{suffix}" for name in ("iptables", "ip6tables")
              for suffix in ("", "-save", "-restore")]
    extensions = os.path.dirname(harness.run("sh", "-c", "ls /usr/lib/*/xtables/libxt_comment.so").strip())
    harness.run(f"{env.bin}/images", "pack", "--to", f"http://{env.registry}", "--name", "kube-proxy:1",
                "--entrypoint", "/kube-proxy", f"{folder}/kube-proxy=/kube-proxy", "/usr/sbin/nft", *tables, extensions,
                "/etc/protocols", timeout=300)


def kube_proxy(env, mode, pods):
    """Runs kube-proxy as a DaemonSet on the nodes; `pods` are the cluster's pod ranges. Called again it changes the mode."""
    kubeconfig = {"apiVersion": "v1", "kind": "Config", "current-context": "c",
                  "clusters": [{"name": "c", "cluster": {"server": server(env), "certificate-authority":
                                                         "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"}}],
                  "users": [{"name": "u", "user": {"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}}],
                  "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}
    config = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": mode,
              "clusterCIDR": pods, "clientConnection": {"kubeconfig": "/config/kubeconfig"},
              # The size of the machine's connection table is not the namespace's.
              "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}}
    labels = {"k8s-app": "kube-proxy"}
    container = env.container("kube-proxy", "kube-proxy:1", securityContext={"privileged": True},
                              command=["/kube-proxy", "--config=/config/config.json", "--hostname-override=$(NODE)"],
                              env=[{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                              volumeMounts=[{"name": "config", "mountPath": "/config"}],
                              readinessProbe={"httpGet": {"path": "/healthz", "port": 10256}, "periodSeconds": 1})
    # Other nodes of a suite share the network namespace: one kube-proxy is enough, and all that fits.
    template = {"metadata": {"labels": labels, "annotations": {"test/mode": mode}},
                "spec": env.pod_spec([container], hostNetwork=True, nodeSelector={"kubernetes.io/hostname": "n1"}, serviceAccountName="kube-proxy",
                                     priorityClassName="system-node-critical",
                                     volumes=[{"name": "config", "configMap": {"name": "kube-proxy"}}])}
    objects(env, *account("kube-proxy", "system:node-proxier"),
            config_map("kube-proxy", {"kubeconfig": json.dumps(kubeconfig), "config.json": json.dumps(config)}),
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "kube-proxy", "namespace": SYSTEM},
             "spec": {"selector": {"matchLabels": labels}, "template": template}})
    env.kubectl("rollout", "status", "daemonset/kube-proxy", "--timeout=60s", ns=SYSTEM)


def coredns(env, dual_stack=False):
    """Runs CoreDNS as a Deployment behind the Service kube-dns. It finds the API server by its ClusterIP."""
    folder = harness.addon("coredns")
    harness.run(f"{env.bin}/images", "pack", "--to", f"http://{env.registry}", "--name", "coredns:1",
                "--entrypoint", "/coredns", f"{folder}/coredns=/coredns", timeout=300)
    corefile = (".:53 {\n errors\n health\n ready\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n  pods insecure\n"
                "  fallthrough in-addr.arpa ip6.arpa\n  ttl 1\n }\n cache 1\n}\n")
    labels = {"k8s-app": "kube-dns"}
    container = env.container("coredns", "coredns:1", args=["-conf", "/etc/coredns/Corefile"],
                              volumeMounts=[{"name": "config", "mountPath": "/etc/coredns"}],
                              securityContext={"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                                               "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
                              ports=[{"name": "dns", "containerPort": 53, "protocol": "UDP"},
                                     {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"}],
                              readinessProbe={"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1})
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "test:coredns"},
            "rules": [{"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                      {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]}
    # The short names of resolv.conf would only be asked twice.
    spec = env.pod_spec([container], serviceAccountName="coredns", dnsPolicy="Default",
                        volumes=[{"name": "config", "configMap": {"name": "coredns"}}])
    objects(env, role, *account("coredns", "test:coredns"), config_map("coredns", {"Corefile": corefile}),
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "coredns", "namespace": SYSTEM},
             "spec": {"replicas": 1, "selector": {"matchLabels": labels},
                      "template": {"metadata": {"labels": labels}, "spec": spec}}},
            service("kube-dns", labels, [port(53, 53, "UDP", "dns"), port(53, 53, "TCP", "dns-tcp")], namespace=SYSTEM,
                    clusterIP=DNS4, clusterIPs=[DNS4, DNS6] if dual_stack else [DNS4],
                    ipFamilyPolicy="RequireDualStack" if dual_stack else "SingleStack"))
    env.kubectl("rollout", "status", "deployment/coredns", "--timeout=60s", ns=SYSTEM)


def port(number, target, protocol="TCP", name=None, **fields):
    return {"name": name or f"{protocol.lower()}-{number}", "port": number, "targetPort": target, "protocol": protocol,
            **fields}


def service(name, selector, ports=None, namespace=None, **spec):
    """A Service to the netexec pods of a label: HTTP at 80, UDP at 90."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": selector, "ports": ports or [port(80, 8080), port(90, 8081, "UDP")], **spec}}


def netexec(env, name, labels=None, ports=None, probe=None, annotations=None, **spec):
    """A pod of agnhost netexec: it answers HTTP at 8080 and UDP at 8081, and asks others for us (dial). Ready: it does."""
    fields = {"ports": ports} if ports else {}
    fields["readinessProbe"] = probe or {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    main = env.container(image="agnhost:1", args=["netexec", "--http-port=8080", "--udp-port=8081"], **fields)
    return env.pod(name, labels=labels, annotations=annotations, containers=[main], **spec)


def url_host(address):
    return f"[{address}]" if ":" in address else address


def dial(env, pod, host, number, request="hostname", protocol="http", tries=1):
    """What the pod (an address) is answered when it asks host:number `tries` times: (answers, errors)."""
    query = urllib.parse.urlencode({"host": host, "port": number, "request": request, "protocol": protocol,
                                    "tries": tries})
    try:
        answer = json.loads(env.fetch(f"http://{url_host(pod)}:8080/dial?{query}", timeout=60))
    except urllib.error.HTTPError as error:  # of a name that it can't resolve
        return [], [error.read().decode(errors="replace")]
    return answer.get("responses", []), answer.get("errors", [])


def reaches(env, pod, host, number, expected, protocol="http", tries=1):
    """Asserts that the pod reaches exactly the pods of these names."""
    answers, errors = dial(env, pod, host, number, "hostname", protocol, tries)
    assert not errors and set(answers) == set(expected), (host, number, protocol, answers, errors)


def from_node(env, address, number, path="/hostname", tries=1):
    """The set of answers that the node itself gets."""
    return {env.fetch(f"http://{url_host(address)}:{number}{path}", timeout=10) for _ in range(tries)}


def udp_from_node(address, number, request=b"hostname"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect((address, number))
        s.send(request)
        return s.recv(4096).decode(errors="replace").strip()


def ask_dns(nameserver, name, kind):
    """The answer section of a DNS question asked by the node over UDP, as raw record data."""
    question = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    question += b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    question += struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET6 if ":" in nameserver else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect((nameserver, 53))
        s.send(question)
        answer = s.recv(4096)
    count = struct.unpack(">H", answer[6:8])[0]
    at, records = len(question), []
    for _ in range(count):
        while answer[at] != 0 and answer[at] < 0xc0:
            at += 1 + answer[at]
        at += 2 if answer[at] >= 0xc0 else 1
        length = struct.unpack(">H", answer[at + 8:at + 10])[0]
        records.append(answer[at + 10:at + 10 + length])
        at += 10 + length
    return records


def addresses(nameserver, name, kind=1):
    """A (1) or AAAA (28) records."""
    family = socket.AF_INET if kind == 1 else socket.AF_INET6
    return {socket.inet_ntop(family, data) for data in ask_dns(nameserver, name, kind)}

"""What Services, names and ports must do for pods and for the node, whatever the pod network: each check is one test of the
suites that call it. `families` are "IPv4" or "IPv4", "IPv6"; in each, a cluster of services.py runs."""

import socket
import time

import harness
from services import (DNS4, addresses, ask_dns, dial, from_node, netexec, reaches, service, udp_from_node, url_host)

SRV, AAAA = 33, 28


def backends(env, name, count=2, **fields):
    """`count` netexec pods with the label app=NAME; returns {name: addresses}."""
    names = [f"{name}-{i}" for i in range(count)]
    for pod in names:
        env.apply(netexec(env, pod, labels={"app": name}, **fields))
    return {pod: ips(env, pod) for pod in names}


def ips(env, pod):
    """The addresses of a pod that is ready."""
    env.wait_ready(f"pod/{pod}")
    return [entry["ip"] for entry in env.get(f"pod {pod}")["status"]["podIPs"]]


def cluster_ips(env, name):
    return env.get(f"service {name}")["spec"]["clusterIPs"]


def dual(families):
    return {"ipFamilyPolicy": "RequireDualStack" if len(families) > 1 else "SingleStack"}


def serves(env, client, host, number, expected):
    """Waits until the client reaches exactly these pods; kube-proxy hears of endpoints a little later than we do."""
    deadline = time.monotonic() + 20
    while True:
        answers, errors = dial(env, client, host, number, tries=8)
        if not errors and set(answers) == set(expected):
            return
        assert time.monotonic() < deadline, (client, host, number, answers, errors)
        time.sleep(0.1)


def names(env, families):
    pods = backends(env, "named")
    env.apply(service("named", {"app": "named"}, **dual(families)))
    env.apply(service("row", {"app": "named"}, clusterIP="None", **dual(families)))
    env.apply(netexec(env, "sub", labels={"app": "named"}, hostname="first", subdomain="row"))
    client, sub = pods["named-0"][0], ips(env, "sub")
    everyone = [*pods, "first"]
    domain = f"{env.ns}.svc.cluster.local"
    for name in ("named", f"named.{env.ns}", f"named.{env.ns}.svc", f"named.{domain}", f"named.{domain}."):
        serves(env, client, name, 80, everyone)
        reaches(env, client, name, 80, everyone, tries=20)
    answers, errors = dial(env, client, f"row.{env.ns}", 8080)
    assert not errors and answers[0] in everyone, (answers, errors)
    reaches(env, client, "first.row", 8080, ["first"])
    every_ip = [ip for pod in (*pods.values(), sub) for ip in pod]
    found = addresses(DNS4, f"row.{domain}") | addresses(DNS4, f"row.{domain}", AAAA)
    assert found == set(every_ip), (found, every_ip)
    assert addresses(DNS4, f"named.{domain}") | addresses(DNS4, f"named.{domain}", AAAA) == set(cluster_ips(env, "named"))
    records = ask_dns(DNS4, f"_tcp-80._tcp.named.{domain}", SRV)
    assert records and records[0][4:6] == (80).to_bytes(2, "big"), records
    assert addresses(DNS4, "kubernetes.default.svc.cluster.local") == {"10.96.0.1"}
    answers, errors = dial(env, client, f"nobody.{domain}", 80)
    assert not answers, answers


def cluster_ip(env, families):
    pods = backends(env, "web")
    client = ips_of_client(env)
    env.apply(service("web", {"app": "web"}, **dual(families)))
    vips = cluster_ips(env, "web")
    assert len(vips) == len(families), vips
    for vip in vips:
        serves(env, client[0], vip, 80, pods)
        reaches(env, client[0], vip, 80, pods, tries=20)
        reaches(env, client[0], vip, 90, pods, protocol="udp", tries=20)
        assert from_node(env, vip, 80, tries=20) == set(pods)
        assert udp_from_node(vip, 90) in pods
        # Between pods nobody stands for anybody: the server sees the client's own address.
        answers, errors = dial(env, client[0], vip, 80, request="clientip")
        seen = answers[0].rsplit(":", 1)[0].strip("[]") if answers else errors
        assert seen in client, (seen, client)


def ips_of_client(env):
    env.apply(netexec(env, "client"))
    return ips(env, "client")


def hairpin(env, families):
    (name, pod), = backends(env, "mirror", count=1).items()
    env.apply(service("mirror", {"app": "mirror"}, **dual(families)))
    for vip in cluster_ips(env, "mirror"):
        serves(env, pod[0], vip, 80, [name])
        reaches(env, pod[0], vip, 80, [name], tries=5)
        reaches(env, pod[0], vip, 90, [name], protocol="udp", tries=5)
    reaches(env, pod[0], "mirror", 80, [name])


def session_affinity(env, families):
    pods = backends(env, "sticky", count=3)
    client = ips_of_client(env)
    env.apply(service("sticky", {"app": "sticky"}, sessionAffinity="ClientIP", **dual(families)))
    env.apply(service("loose", {"app": "sticky"}, **dual(families)))
    for sticky, loose in zip(cluster_ips(env, "sticky"), cluster_ips(env, "loose")):
        serves(env, client[0], loose, 80, pods)
        harness.until(lambda vip=sticky: dial(env, client[0], vip, 80)[0], 20, "the sticky Service answers")
        answers, errors = dial(env, client[0], sticky, 80, tries=20)
        assert not errors and len(set(answers)) == 1, (answers, errors)


def node_port(env, families):
    node = env.nodes["n1"]
    pods = backends(env, "door")
    client = ips_of_client(env)
    env.apply(service("door", {"app": "door"}, type="NodePort", **dual(families)))
    env.apply(service("local", {"app": "door"}, type="NodePort", externalTrafficPolicy="Local", **dual(families)))
    for name in ("door", "local"):
        numbers = [p["nodePort"] for p in env.get(f"service {name}")["spec"]["ports"]]
        for address in [node.ip, *node.more_ips]:
            serves(env, client[0], address, numbers[0], pods)
            reaches(env, client[0], address, numbers[1], pods, protocol="udp", tries=20)
            assert from_node(env, address, numbers[0], tries=20) == set(pods)
            assert udp_from_node(address, numbers[1]) in pods


def host_port(env, families):
    del families
    node = env.nodes["n1"]
    ports = [{"containerPort": 8080, "hostPort": 7080}, {"containerPort": 8081, "hostPort": 7081, "protocol": "UDP"}]
    (name, pod), = backends(env, "open", count=1, ports=ports).items()
    client = ips_of_client(env)
    for address in [node.ip, *node.more_ips]:
        reaches(env, client[0], address, 7080, [name])
        reaches(env, client[0], address, 7081, [name], protocol="udp")
        reaches(env, pod[0], address, 7080, [name])
        assert from_node(env, address, 7080) == {name}
        assert udp_from_node(address, 7081) == name
    assert from_node(env, "127.0.0.1", 7080) == {name}
    env.delete("pod open-0", "--grace-period=0", "--force")
    env.wait_gone("pod/open-0")
    harness.until(lambda: not dial(env, client[0], node.ip, 7080)[0], 20, "the port is closed with its pod")


def readiness(env, families):
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    for name in ("shy-0", "shy-1"):
        env.apply(netexec(env, name, labels={"app": "shy"}, probe=probe))
    client = ips_of_client(env)
    env.apply(service("shy", {"app": "shy"}, **dual(families)))
    env.apply(service("all", {"app": "shy"}, publishNotReadyAddresses=True, **dual(families)))
    vip, every = cluster_ips(env, "shy")[0], cluster_ips(env, "all")[0]
    serves(env, client[0], every, 80, ["shy-0", "shy-1"])
    assert not dial(env, client[0], vip, 80)[0], "a pod that is not ready is served"
    env.exec("shy-0", "touch", "/tmp/ready")
    serves(env, client[0], vip, 80, ["shy-0"])
    env.exec("shy-1", "touch", "/tmp/ready")
    serves(env, client[0], vip, 80, ["shy-0", "shy-1"])
    env.exec("shy-0", "rm", "/tmp/ready")
    serves(env, client[0], vip, 80, ["shy-1"])
    env.delete("pod shy-1")
    harness.until(lambda: not dial(env, client[0], vip, 80)[0], 20, "nobody serves")


def rejects(env, families):
    client = ips_of_client(env)
    env.apply(service("empty", {"app": "nobody"}, type="NodePort", **dual(families)))
    for vip in cluster_ips(env, "empty"):
        def refused(address=vip):
            answers, errors = dial(env, client[0], address, 80)
            return not answers and "refused" in errors[0]
        harness.until(refused, 20, f"{vip} refuses pods")
        try:
            env.fetch(f"http://{url_host(vip)}:80/", timeout=10)
            raise AssertionError("a Service without endpoints answers the node")
        except OSError as error:
            assert "refused" in str(error), error


def restarted_agent(env, families):
    """The network goes on without the agent, and with its next life."""
    pods = backends(env, "steady", ports=[{"containerPort": 8080, "hostPort": 7090}], count=1)
    client = ips_of_client(env)
    env.apply(service("steady", {"app": "steady"}, **dual(families)))
    node = env.nodes["n1"]
    vip = cluster_ips(env, "steady")[0]
    serves(env, client[0], vip, 80, pods)
    node.kill()
    reaches(env, client[0], vip, 80, pods)
    reaches(env, client[0], node.ip, 7090, pods)
    node.start()
    reaches(env, client[0], vip, 80, pods)
    reaches(env, client[0], node.ip, 7090, pods)
    env.delete("pod steady-0")
    env.wait_gone("pod/steady-0")
    harness.until(lambda: not dial(env, client[0], node.ip, 7090)[0], 20, "the port is closed with its pod")


AMOUNT = 4 << 20
LIMIT = 16_000_000  # bits per second


def took(address, number, send):
    """Seconds until AMOUNT bytes have gone to, or come from, a pod."""
    start = time.monotonic()
    with socket.create_connection((address, number), timeout=60) as s:
        # What waits here counts as sent, and nc closes its side at once.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        if send:
            s.sendall(bytes(AMOUNT))
            s.shutdown(socket.SHUT_WR)
        got = 0
        while chunk := s.recv(1 << 16):
            got += len(chunk)
        assert send or got == AMOUNT, got
    return time.monotonic() - start


def bandwidth(env):
    """Annotated pods send and receive no faster than they may, others do; nonsense is refused as everywhere."""
    shell = f"dd if=/dev/zero bs=64k count={AMOUNT >> 16} 2>/dev/null | nc -l -p 9000 & nc -l -p 9001 > /dev/null; wait"
    limits = {"kubernetes.io/ingress-bandwidth": "16M", "kubernetes.io/egress-bandwidth": "16M"}
    for name, annotations in (("slow", limits), ("fast", {})):
        env.apply(env.pod(name, annotations=annotations, image="busybox:1", command=["sh", "-c", shell]))
    slow, fast = ips(env, "slow")[0], ips(env, "fast")[0]
    least = 0.6 * AMOUNT * 8 / LIMIT  # what the bucket holds may go at once
    for number, send in ((9001, True), (9000, False)):
        harness.until(lambda n=number: listens(env, "slow", n) and listens(env, "fast", n), 20, "both listen")
        quick, limited = took(fast, number, send), took(slow, number, send)
        print(f"{AMOUNT} bytes to port {number}: {quick:.3f} s free, {limited:.3f} s limited", flush=True)
        assert limited > least, (number, limited)
        assert quick < limited, (number, quick, limited)
    env.apply(env.pod("wrong", annotations={"kubernetes.io/egress-bandwidth": "10"}))
    harness.until(lambda: any(reason == "FailedCreatePodSandBox" and "unreasonably small (< 1kbit)" in message
                              for reason, message in env.events("wrong")), 30, "the event names the annotation")


def listens(env, pod, number):
    return f":{number} " in env.exec(pod, "netstat", "-ltn")

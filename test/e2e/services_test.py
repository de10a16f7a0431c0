#!/usr/bin/env python3
"""Services and names on a dual-stack cluster, by the real kube-proxy (nftables, then iptables) and CoreDNS."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import service_checks as checks  # noqa: E402
import services  # noqa: E402

FAMILIES = ("IPv4", "IPv6")


def cluster(env):
    """The cluster with its node, kube-proxy and CoreDNS, made by the first test that needs it."""
    if "n1" in env.nodes:
        return env.node()
    services.outside(dual_stack=True)
    env.cluster(services.DUAL_STACK)
    node = env.node(config={"podCIDR": "10.124.0.0/22,fd00:124::/64", "clusterDNS": [services.DNS4, services.DNS6]},
                    ips=["10.123.0.1", services.NODE6])
    services.push_kube_proxy(env)
    services.kube_proxy(env, "nftables", f"{services.PODS4},{services.PODS6}")
    services.coredns(env, dual_stack=True)
    return node


def test_names_resolve_from_pods(env):
    cluster(env)
    checks.names(env, FAMILIES)


def test_cluster_ips_lead_pods_and_the_node_to_every_endpoint(env):
    cluster(env)
    checks.cluster_ip(env, FAMILIES)


def test_a_pod_reaches_itself_through_its_service(env):
    cluster(env)
    checks.hairpin(env, FAMILIES)


def test_session_affinity_keeps_a_client_at_one_endpoint(env):
    cluster(env)
    checks.session_affinity(env, FAMILIES)


def test_node_ports_are_open_to_pods_and_the_node(env):
    cluster(env)
    checks.node_port(env, FAMILIES)


def test_host_ports_are_open_to_pods_and_the_node(env):
    cluster(env)
    checks.host_port(env, FAMILIES)


def test_endpoints_follow_readiness(env):
    cluster(env)
    checks.readiness(env, FAMILIES)


def test_a_service_without_endpoints_refuses(env):
    cluster(env)
    checks.rejects(env, FAMILIES)


def test_services_outlive_the_agent(env):
    cluster(env)
    checks.restarted_agent(env, FAMILIES)


def addresses_pod(env, name):
    """A pod that knows its addresses by the environment and by a volume."""
    pod = services.netexec(env, name)
    field = {"podIP": "status.podIP", "podIPs": "status.podIPs", "hostIP": "status.hostIP", "hostIPs": "status.hostIPs"}
    main = pod["spec"]["containers"][0]
    main["env"] = [{"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}} for key, path in field.items()]
    env.apply(pod)
    env.wait_ready(f"pod/{name}")
    status = env.get(f"pod {name}")["status"]
    ips = [entry["ip"] for entry in status["podIPs"]]
    hosts = [entry["ip"] for entry in status["hostIPs"]]
    assert status["podIP"] == ips[0] and status["hostIP"] == hosts[0], status
    environment = dict(line.split("=", 1) for line in env.exec(name, "env").splitlines() if "=" in line)
    told = {key: environment[key] for key in field}
    assert told == {"podIP": ips[0], "podIPs": ",".join(ips), "hostIP": hosts[0], "hostIPs": ",".join(hosts)}, told
    lines = [line.split()[0] for line in env.exec(name, "cat", "/etc/hosts").splitlines() if line.endswith(f"\t{name}")]
    assert lines == ips, lines
    return ips, hosts


def test_pods_know_their_addresses_of_both_families(env):
    node = cluster(env)
    ips, hosts = addresses_pod(env, "both")
    assert len(ips) == 2 and ips[0].startswith("10.124.") and ips[1].startswith("fd00:124::"), ips
    assert hosts == [node.ip, services.NODE6], hosts
    addresses = [a["address"] for a in env.get("node n1")["status"]["addresses"] if a["type"] == "InternalIP"]
    assert addresses == hosts, addresses


def test_bandwidth_annotations_limit_a_pod(env):
    cluster(env)
    checks.bandwidth(env)


def test_all_of_it_by_iptables(env):
    cluster(env)
    services.kube_proxy(env, "iptables", f"{services.PODS4},{services.PODS6}")
    checks.cluster_ip(env, FAMILIES)
    checks.hairpin(env, FAMILIES)
    env.delete("pod client")
    checks.node_port(env, FAMILIES)
    env.delete("pod client")
    checks.rejects(env, FAMILIES)


def test_a_node_with_ipv6_alone_runs_pods(env):
    cluster(env)
    harness.run("ip", "address", "add", "fd00:123::2/64", "dev", "node0", "nodad")
    six = env.node("n2", ips=["fd00:123::2"], config={"podCIDR": "fd00:124:0:1::/64", "address": "::",
                                                      "clusterDNS": [services.DNS6]})
    ports = [{"containerPort": 8080, "hostPort": 7060}]
    for name, node in (("six", "n2"), ("four-six", "n1")):
        env.apply(services.netexec(env, name, nodeName=node, labels={"app": "six"}, ports=ports if name == "six" else None))
    (only,), both = checks.ips(env, "six"), checks.ips(env, "four-six")
    assert only.startswith("fd00:124:0:1:"), only
    services.reaches(env, only, both[1], 8080, ["four-six"])
    services.reaches(env, both[0], only, 8080, ["six"])
    # The names and the Services of the cluster, from a pod that has IPv6 alone.
    env.apply(services.service("sixes", {"app": "six"}, ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack"))
    checks.serves(env, only, "sixes", 80, ["six", "four-six"])
    services.reaches(env, both[0], six.ip, 7060, ["six"])
    services.reaches(env, only, six.ip, 7060, ["six"])
    assert services.from_node(env, six.ip, 7060) == {"six"}
    addresses_pod(env, "told")


if __name__ == "__main__":
    harness.main()

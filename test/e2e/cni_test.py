#!/usr/bin/env python3
"""network: cni. A DaemonSet installs Debian's bridge, portmap and bandwidth plugins; Services work over them as over the
built-in network, and what the plugins made is taken down whatever happens to the agent."""

import contextlib
import glob
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import service_checks as checks  # noqa: E402
import services  # noqa: E402

FAMILIES = ("IPv4",)
PLUGINS = "/usr/lib/cni"
RANGE = "10.124.0.0/22"


def network(bridge="cni0"):
    """The list that the tests install."""
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [
        {"type": "bridge", "bridge": bridge, "isGateway": True, "ipMasq": True, "hairpinMode": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": RANGE}]], "routes": [{"dst": "0.0.0.0/0"}],
                  "dataDir": "/run/burstlet-cni-test"}},
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}}]}


def start(env):
    """The node, without a network so far."""
    if "n1" in env.nodes:
        return env.node(start="n1" in READY)
    services.outside()
    # Bridged packets pass the hooks of kube-proxy.
    with open("/proc/sys/net/bridge/bridge-nf-call-iptables", "w", encoding="ascii") as out:
        out.write("1")
    folder = os.path.join(env.dir, "net.d")
    node = env.node(config={"network": "cni", "podCIDR": None, "cniConfDir": folder, "cniBinDir": PLUGINS}, start=False)
    node.start(wait=False)
    return node


READY = set()


def cluster(env):
    """The cluster with its network, kube-proxy and CoreDNS."""
    node = start(env)
    if READY:
        return env.node()
    install(env)
    node.wait_ready(60)
    READY.add("n1")
    services.push_kube_proxy(env)
    services.kube_proxy(env, "iptables", services.PODS4)
    services.coredns(env)
    return node


def install(env):
    """A DaemonSet that writes the configuration, as a cluster's network does."""
    folder = env.nodes["n1"].config["cniConfDir"]
    script = "printf %s \"$LIST\" > /net.d/.10-pods.tmp && mv /net.d/.10-pods.tmp /net.d/10-pods.conflist && exec sleep 3600"
    main = env.container(image="busybox:1", command=["sh", "-c", script],
                         env=[{"name": "LIST", "value": json.dumps(network())}],
                         volumeMounts=[{"name": "net", "mountPath": "/net.d"}])
    template = {"metadata": {"labels": {"app": "network"}},
                "spec": env.pod_spec([main], hostNetwork=True, volumes=[{"name": "net", "hostPath": {"path": folder}}])}
    services.objects(env, {"apiVersion": "apps/v1", "kind": "DaemonSet",
                           "metadata": {"name": "network", "namespace": services.SYSTEM},
                           "spec": {"selector": {"matchLabels": {"app": "network"}}, "template": template}})


def named(node):
    """The names of pods' network namespaces of this node."""
    return glob.glob(f"/run/netns/burstlet-{instance(node)}-*")


def instance(node):
    value = 2166136261
    for char in node.root_dir.encode():
        value = ((value ^ char) * 16777619) & 0xffffffff
    return f"{value & 0xffffff:06x}"


def test_without_a_configuration_the_node_is_not_ready(env):
    start(env)
    node = env.wait_for("nodes/n1", lambda n: harness.condition(n, "Ready") == "False")
    (ready,) = [c for c in node["status"]["conditions"] if c["type"] == "Ready"]
    assert ready["reason"] == "KubeletNotReady", ready
    assert "NetworkReady=false reason:NetworkPluginNotReady" in ready["message"], ready
    assert ready["message"].endswith("cni plugin not initialized"), ready
    env.apply(services.netexec(env, "early"))
    harness.until(lambda: any(reason == "FailedCreatePodSandBox" and "cni plugin not initialized" in message
                              for reason, message in env.events("early")), 30, "the pod says why it waits")


def test_a_daemon_set_makes_the_network(env):
    cluster(env)
    env.apply(services.netexec(env, "first"))
    (ip,) = checks.ips(env, "first")
    assert ip.startswith("10.124."), ip
    assert services.from_node(env, ip, 8080) == {"first"}


def test_names_resolve(env):
    cluster(env)
    checks.names(env, FAMILIES)


def test_cluster_ips_lead_to_every_endpoint(env):
    cluster(env)
    checks.cluster_ip(env, FAMILIES)


def test_a_pod_reaches_itself_through_its_service(env):
    cluster(env)
    checks.hairpin(env, FAMILIES)


def test_node_ports_are_open(env):
    cluster(env)
    checks.node_port(env, FAMILIES)


def test_host_ports_are_open(env):
    cluster(env)
    checks.host_port(env, FAMILIES)


def test_a_service_without_endpoints_refuses(env):
    cluster(env)
    checks.rejects(env, FAMILIES)


def test_the_network_outlives_the_agent_and_goes_with_the_pod(env):
    node = cluster(env)
    checks.restarted_agent(env, FAMILIES)
    # A pod that ends while the agent is dead is taken down by the next one.
    env.apply(services.netexec(env, "orphan"))
    (ip,) = checks.ips(env, "orphan")
    uid = env.get("pod orphan")["metadata"]["uid"]
    record = os.path.join(node.root_dir, "cni", f"{uid}.json")
    assert os.path.exists(record) and any(uid in path for path in named(node))
    reserved = f"/run/burstlet-cni-test/pods/{ip}"
    assert os.path.exists(reserved)
    node.kill()
    env.delete("pod orphan", "--grace-period=0", "--force", wait=False)
    node.start()
    harness.until(lambda: not os.path.exists(record) and not os.path.exists(reserved), 30, "DEL has run")
    assert not any(uid in path for path in named(node))


def test_bandwidth_annotations_limit_a_pod(env):
    cluster(env)
    checks.bandwidth(env)


def test_bandwidth_annotations_limit_a_pod_without_a_plugin_for_it(env):
    node = cluster(env)
    bare = network()
    bare["plugins"] = [plugin for plugin in bare["plugins"] if plugin["type"] != "bandwidth"]
    with other_network(env, node, bare):
        checks.bandwidth(env)


@contextlib.contextmanager
def other_network(env, node, config):
    """Comes before the cluster's own by its name, for as long as it is there."""
    path = os.path.join(node.config["cniConfDir"], "00-other.conflist")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(config, out)
    harness.until(lambda: path in last_network(node), 20, "the other network is in use")
    try:
        yield
    finally:
        os.unlink(path)
        harness.until(lambda: path not in last_network(node), 20, "the cluster's network is in use again")


def last_network(node):
    with open(node.log, encoding="utf-8", errors="replace") as source:
        return [line for line in source if "CNI network in use" in line][-1]


def test_a_missing_plugin_is_told_and_undone(env):
    node = cluster(env)
    broken = network()
    broken["plugins"].append({"type": "no-such-plugin"})
    with other_network(env, node, broken):
        before = reserved()
        env.apply(services.netexec(env, "unlucky"), services.netexec(env, "gone"))
        for pod in ("unlucky", "gone"):
            harness.until(lambda p=pod: any(
                'failed to find plugin "no-such-plugin" in path [/usr/lib/cni]' in message
                for _, message in env.events(p)), 30, "the event names the plugin")
        gone = env.get("pod gone")["metadata"]["uid"]
        env.delete("pod gone")
        harness.until(lambda: not os.path.exists(os.path.join(node.root_dir, "cni", f"{gone}.json")), 30,
                      "no record is left")
        harness.until(lambda: reserved() <= before, 30, "no address is left behind")
    checks.ips(env, "unlucky")  # the next try is by the configuration that is there now
    env.delete("pod unlucky")


def reserved():
    return {name for name in os.listdir("/run/burstlet-cni-test/pods") if name[0].isdigit()}


def test_nothing_is_left_when_the_pods_are_gone(env):
    node = cluster(env)
    for kind, name in (("daemonset", "kube-proxy"), ("deployment", "coredns")):
        env.kubectl("delete", kind, name, "--wait=false", ns=services.SYSTEM)
    env.kubectl("delete", "pods", "--all", "--all-namespaces", "--force", "--grace-period=0", "--wait=false",
                check=False)  # the DaemonSet's and the Deployment's own go meanwhile
    harness.until(lambda: not named(node) and not os.listdir(os.path.join(node.root_dir, "cni")), 60, "all is taken down")
    assert not reserved(), reserved()
    harness.run("rm", "-r", "/run/burstlet-cni-test")


if __name__ == "__main__":
    harness.main()

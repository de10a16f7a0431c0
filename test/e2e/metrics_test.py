#!/usr/bin/env python3
"""What a node tells monitoring, and whom: a real Prometheus with a service account's token scrapes it."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402


def token(env, account, *resources):
    """A token of a new service account that may get these sub-resources of nodes."""
    env.kubectl("create", "serviceaccount", account)
    if resources:
        env.kubectl("create", "clusterrole", account, "--verb=get", *(f"--resource={r}" for r in resources))
        env.kubectl("create", "clusterrolebinding", account, f"--clusterrole={account}",
                    f"--serviceaccount={env.ns}:{account}")
    return env.kubectl("create", "token", account).strip()


def get(node, path, bearer=None):
    return node.get(path, client=None, headers={"Authorization": f"Bearer {bearer}"} if bearer else None)


def busy_pod(env, name="busy"):
    env.apply(env.pod(name, containers=[
        env.container("work", "busybox:1", command=["sh", "-c", "while :; do :; done"],
                      resources={"limits": {"cpu": "200m", "memory": "32Mi"}}),
        env.container("rest")]))
    env.wait_ready(f"pod/{name}")


class Prometheus:
    """A server of Debian's package, scraping both paths of a node every second."""

    def __init__(self, env, node, bearer):
        self.env = env
        token_file = os.path.join(env.dir, "prometheus.token")
        with open(token_file, "w", encoding="ascii") as out:
            out.write(bearer)
        jobs = []
        for job, path in (("agent", "/metrics"), ("resource", "/metrics/resource")):
            jobs.append({"job_name": job, "scheme": "https", "metrics_path": path,
                         "tls_config": {"ca_file": f"{node.identity}/ca.crt"},
                         "authorization": {"credentials_file": token_file},
                         "static_configs": [{"targets": [f"{node.ip}:{node.port}"]}]})
        config = os.path.join(env.dir, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as out:
            json.dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}, out)
        self.log = open(os.path.join(env.logs, "prometheus.log"), "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={env.dir}/prometheus",
             # Samples with timestamps of their own, as the kubelet's, never go stale: they grow old.
             "--query.lookback-delta=10s", "--web.listen-address=127.0.0.1:9090"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def query(self, expression):
        """The result: (labels, value) of each series; none while the server is not up."""
        url = "http://127.0.0.1:9090/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            answer = json.loads(self.env.fetch(url))
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return []
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        except OSError:
            assert self.process.poll() is None, "Prometheus has ended: see its log"
            return []
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]

    def until(self, expression, holds=bool, timeout=45):
        """Waits until holds(result of the query)."""
        def now():
            result = self.query(expression)
            return result if holds(result) else None
        return harness.until(now, timeout, expression)

    def targets(self):
        return json.loads(self.env.fetch("http://127.0.0.1:9090/api/v1/targets"))["data"]["activeTargets"]

    def close(self):
        self.process.kill()
        self.process.wait(10)
        self.log.close()


@harness.limit(240)
def test_prometheus_scrapes_a_node(env):
    node = env.node()
    busy_pod(env)
    server = Prometheus(env, node, token(env, "prometheus", "nodes/metrics"))
    try:
        server.until("up == 1", lambda series: len(series) == 2)
        here = f'namespace="{env.ns}",pod="busy"'
        used = server.until(f'rate(container_cpu_usage_seconds_total{{{here},container="work"}}[10s])')
        # Its limit is a fifth of a core.
        assert 0.02 < used[0][1] < 0.35, used
        assert used[0][0]["container"] == "work", used
        server.until(f"rate(pod_cpu_usage_seconds_total{{{here}}}[10s]) > 0.02")
        server.until("rate(node_cpu_usage_seconds_total[10s]) > 0")
        memory = server.until(f"container_memory_working_set_bytes{{{here}}}", lambda series: len(series) == 2)
        assert all(0 < value < 32 << 20 for _, value in memory), memory
        whole = server.until(f"pod_memory_working_set_bytes{{{here}}} >= on(namespace, pod) "
                             f"sum by (namespace, pod) (container_memory_working_set_bytes{{{here}}}) * 0.5")
        assert len(whole) == 1, whole
        started = server.until(f"time() - container_start_time_seconds{{{here}}}", lambda series: len(series) == 2)
        assert all(0 <= age < 240 for _, age in started), started
        assert server.until("resource_scrape_error")[0][1] == 0
        server.until("kubelet_running_pods >= 1")
        server.until('kubelet_running_containers{container_state="running"} >= 2')
        server.until('sum by (stage) (burstlet_pod_start_stage_seconds_count) >= 1', lambda series: {
            labels["stage"] for labels, _ in series} == {"volumes", "sandbox", "image", "started", "ready"})
        server.until("histogram_quantile(0.5, sum by (le) (kubelet_pod_start_duration_seconds_bucket)) > 0")
        assert all(target["lastError"] == "" for target in server.targets()), server.targets()
        # A pod that is gone is not told of any more.
        env.delete("pod busy")
        server.until(f"absent(pod_memory_working_set_bytes{{{here}}})")
    finally:
        server.close()


def test_own_figures_grow(env):
    node = env.node()

    def value(name):
        text = node.get("/metrics")[1]
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if re.match(re.escape(name) + r"(\{| )", line))
    before = {name: value(name) for name in ("kubelet_started_pods_total", "kubelet_started_containers_total",
                                             "kubelet_pod_start_duration_seconds_count")}
    env.apply(env.pod("counted"))
    env.wait_ready("pod/counted")
    for name, was in before.items():
        harness.until(lambda n=name, w=was: value(n) == w + 1, 10, f"{name} has grown by one")


def test_pods_with_their_status(env):
    node = env.node()
    env.apply(env.pod("listed"))
    env.wait_ready("pod/listed")
    listed = json.loads(node.get("/pods")[1])
    assert (listed["kind"], listed["apiVersion"]) == ("PodList", "v1"), listed
    mine = [p for p in listed["items"] if p["metadata"]["name"] == "listed"]
    shown = env.get("pod listed")
    assert len(mine) == 1 and mine[0]["metadata"]["uid"] == shown["metadata"]["uid"], mine
    assert mine[0]["status"]["podIP"] == shown["status"]["podIP"], mine
    assert harness.condition(mine[0], "Ready") == "True", mine
    assert json.loads(node.get("/runningpods/")[1])["kind"] == "PodList"


def test_health_and_configuration(env):
    node = env.node()
    for path in ("/healthz", "/healthz/ping", "/healthz/syncloop"):
        assert node.get(path) == (200, "ok"), (path, node.get(path))
    shown = node.get("/configz")[1]
    config = json.loads(shown)["kubeletconfig"]
    assert config["podCIDR"] == node.pod_cidr and config["port"] == node.port, config
    assert config["authorization"]["mode"] == "Webhook" and config["maxPods"] > 0, config
    # The kubelet's own type takes all of it; what only this agent has is beside it.
    typed = json.loads(harness.run(f"{env.bin}/configzcheck", stdin=shown))
    assert typed["clusterDomain"] == "cluster.local" and typed["cgroupRoot"] == node.cgroup, typed
    assert json.loads(shown)["burstletconfig"]["network"] == "builtin", shown
    assert node.get("/no-such-path")[0] == 404
    # The same through the API server.
    assert env.kubectl("get", "--raw", "/api/v1/nodes/n1/proxy/healthz") == "ok"


def test_nobody_gets_nothing(env):
    node = env.node()
    for path in ("/pods", "/metrics", "/metrics/resource", "/configz", "/healthz", "/containerLogs/a/b/c", "/x"):
        assert get(node, path) == (401, "Unauthorized"), (path, get(node, path))
        assert get(node, path, "not.a.token")[0] == 401, path
    # Of another purpose than for the API server.
    other = env.kubectl("create", "token", "default", "--audience=somebody-else").strip()
    assert get(node, "/metrics", other) == (401, "Unauthorized"), get(node, "/metrics", other)


def test_rights_are_asked_of_the_api_server(env):
    node = env.node()
    stranger = token(env, "stranger")
    name = f"system:serviceaccount:{env.ns}:stranger"
    for path, subresources in (("/metrics", "metrics"), ("/metrics/resource", "metrics"), ("/pods", "pods proxy"),
                               ("/configz", "configz proxy"), ("/healthz", "healthz proxy"),
                               ("/containerLogs/default/a/b", "proxy")):
        status, text = get(node, path, stranger)
        want = f"Forbidden (user={name}, verb=get, resource=nodes, subresource(s)=[{subresources}])"
        assert (status, text.strip()) == (403, want), (path, status, text, want)
    # Each right opens its paths and no other.
    reader = token(env, "reader", "nodes/metrics")
    assert get(node, "/metrics", reader)[0] == 200
    assert get(node, "/metrics/resource", reader)[0] == 200
    for path in ("/pods", "/configz", "/containerLogs/default/a/b", "/exec/default/a/b?command=id"):
        assert get(node, path, reader)[0] == 403, path
    assert get(node, "/pods", token(env, "lister", "nodes/pods"))[0] == 200
    everything = token(env, "everything", "nodes/proxy")
    for path in ("/pods", "/configz", "/healthz"):
        assert get(node, path, everything)[0] == 200, path
    # A right of its own: proxy is not metrics.
    assert get(node, "/metrics", everything)[0] == 403
    # A right that comes later counts, once the refusal is no longer remembered.
    env.kubectl("create", "clusterrolebinding", "late", "--clusterrole=reader",
                f"--serviceaccount={env.ns}:stranger")
    harness.until(lambda: get(node, "/metrics", stranger)[0] == 200, 45, "the right counts")


if __name__ == "__main__":
    harness.main()

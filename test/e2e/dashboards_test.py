#!/usr/bin/env python3
"""A real Prometheus with our rules: all panels and rules have data, and no alert is near on a healthy node."""

import contextlib
import glob
import json
import os
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

RULES = f"{harness.ROOT}/deploy/prometheus/burstlet.rules.yaml"
URL = "http://127.0.0.1:9090/api/v1/"
# What the public rules and dashboards for kubelets and pods are made of (metrics/README.md has what there is not).
PANELS = [
    'sum(up{job="kubelet", metrics_path="/metrics"})',
    'sum(kubelet_running_pods{job="kubelet"})',
    'sum(kubelet_running_containers{job="kubelet"})',
    'sum(kubelet_node_name{job="kubelet"})',
    'sum by (operation_type) (kubelet_runtime_operations_total{job="kubelet"})',
    'histogram_quantile(0.99, sum by (le) (kubelet_runtime_operations_duration_seconds_bucket{job="kubelet"}))',
    'sum(kubelet_pod_start_duration_seconds_count{job="kubelet"})',
    'histogram_quantile(0.99, sum by (le) (kubelet_pod_start_sli_duration_seconds_bucket{job="kubelet"}))',
    'sum by (operation_type) (kubelet_pod_worker_duration_seconds_count{job="kubelet"})',
    'sum by (code) (rest_client_requests_total{job="kubelet"})',
    'histogram_quantile(0.99, sum by (verb, le) (rest_client_request_duration_seconds_bucket{job="kubelet"}))',
    'sum by (path) (kubelet_http_requests_total{job="kubelet"})',
    'histogram_quantile(0.99, sum by (path, le) (kubelet_http_requests_duration_seconds_bucket{job="kubelet"}))',
    'process_resident_memory_bytes{job="kubelet", metrics_path="/metrics"}',
    'rate(process_cpu_seconds_total{job="kubelet", metrics_path="/metrics"}[10s])',
    'process_open_fds{job="kubelet", metrics_path="/metrics"}',
    'kubernetes_build_info{job="kubelet", metrics_path="/metrics"}',
    'sum by (container) (container_memory_working_set_bytes{namespace="NS", container!="", image!=""})',
    'sum by (container) (container_memory_rss{namespace="NS", container!="", image!=""})',
    'sum by (container) (container_spec_memory_limit_bytes{namespace="NS", container!=""})',
    'sum(rate(container_network_receive_bytes_total{namespace="NS", pod="busy"}[10s]))',
    'sum(rate(container_network_transmit_packets_total{namespace="NS", pod="busy"}[10s]))',
    'sum(rate(container_cpu_cfs_periods_total{namespace="NS", container="work"}[10s]))',
    'container_memory_working_set_bytes{id="/"}',
    'machine_cpu_cores',
    'machine_memory_bytes',
    'prober_probe_total{namespace="NS", result="successful", probe_type="Readiness"}',
    'sum by (operation_type) (kubelet_runtime_operations_errors_total{job="kubelet"})',
    'histogram_quantile(0.99, sum by (le) (kubelet_pod_start_duration_seconds_bucket{job="kubelet"}))',
    'histogram_quantile(0.99, sum by (le) (kubelet_pod_worker_duration_seconds_bucket{job="kubelet"}))',
    'sum(volume_manager_total_volumes{job="kubelet", state="actual_state_of_world"})',
    'sum(volume_manager_total_volumes{job="kubelet", state="desired_state_of_world"})',
    'sum by (operation_name, volume_plugin) (storage_operation_duration_seconds_count{job="kubelet"})',
    'histogram_quantile(0.99, sum by (volume_plugin, le) (storage_operation_duration_seconds_bucket{job="kubelet"}))',
    'sum by (operation_type) (kubelet_cgroup_manager_duration_seconds_count{operation_type="create"})',
    'sum by (operation_type) (kubelet_cgroup_manager_duration_seconds_count{operation_type="update"})',
    'histogram_quantile(0.99, sum by (le) (kubelet_cgroup_manager_duration_seconds_bucket{job="kubelet"}))',
    'sum(kubelet_pleg_relist_duration_seconds_count{job="kubelet"})',
    'histogram_quantile(0.99, sum by (le) (kubelet_pleg_relist_duration_seconds_bucket{job="kubelet"}))',
    'sum by (eviction_signal) (kubelet_evictions{job="kubelet"})',
    'kubelet_certificate_manager_client_ttl_seconds',
    'kubelet_certificate_manager_client_expiration_renew_errors',
    'kubelet_active_pods{static=""}',
    'kubelet_node_startup_pre_kubelet_duration_seconds > 0',
    'kubelet_node_startup_registration_duration_seconds > 0',
    'kubelet_node_startup_duration_seconds > 0',
    'sum by (container) (container_memory_cache{namespace="NS", container!="", image!=""})',
    'sum by (container) (container_memory_swap{namespace="NS", container!="", image!=""})',
    'sum by (container) (container_memory_usage_bytes{namespace="NS", container!="", image!=""})',
    'sum(rate(container_network_transmit_bytes_total{namespace="NS", pod="busy"}[10s]))',
    'sum(rate(container_network_receive_packets_total{namespace="NS", pod="busy"}[10s]))',
    'sum(rate(container_network_receive_packets_dropped_total{namespace="NS", pod="busy"}[10s]))',
    'sum(rate(container_network_transmit_packets_dropped_total{namespace="NS", pod="busy"}[10s]))',
    'sum(rate(container_cpu_cfs_throttled_periods_total{namespace="NS", container="work"}[10s]))',
    'sum(rate(container_fs_reads_total{id="/"}[10s]))',
    'sum(rate(container_fs_writes_total{id="/"}[10s]))',
    'sum(rate(container_fs_reads_bytes_total{id="/"}[10s]))',
    'sum(rate(container_fs_writes_bytes_total{id="/"}[10s]))',
]


def recorded():
    """The names that the rule file records, and those of its alerts."""
    result = subprocess.run(["promtool", "check", "rules", RULES], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, timeout=30, check=False)
    assert result.returncode == 0 and "SUCCESS" in result.stdout, result.stdout
    with open(RULES, encoding="utf-8") as source:
        lines = [line.strip().removeprefix("- ") for line in source]
    return ([line.split(": ", 1)[1] for line in lines if line.startswith("record: ")],
            [line.split(": ", 1)[1] for line in lines if line.startswith("alert: ")])


def grafana_panels():
    """All queries of our dashboards, with their variables set to everything and the test's time."""
    def expressions(part):
        if isinstance(part, dict):
            for key, value in part.items():
                yield from [value] if key == "expr" else expressions(value)
        elif isinstance(part, list):
            for value in part:
                yield from expressions(value)
    found = []
    for path in sorted(glob.glob(f"{harness.ROOT}/deploy/grafana/*.json")):
        with open(path, encoding="utf-8") as source:
            mine = list(expressions(json.load(source)))
        assert mine, f"{path} has no panel"
        found += mine
    return [e.replace("$__rate_interval", "10s").replace("$instance", ".*").replace("$namespace", ".*") for e in found]


def ask(env, what, **parameters):
    try:
        return json.loads(env.fetch(f"{URL}{what}?{urllib.parse.urlencode(parameters)}"))["data"]
    except OSError:
        return None  # not up yet


def query(env, expression):
    data = ask(env, "query", query=expression)
    return [series for series in (data or {}).get("result", []) if series["value"][1] != "NaN"]


@contextlib.contextmanager
def prometheus(env, node):
    """A server that scrapes all paths of the node every two seconds."""
    env.kubectl("create", "serviceaccount", "prometheus")
    env.kubectl("create", "clusterrole", "prometheus", "--verb=get", "--resource=nodes/metrics")
    env.kubectl("create", "clusterrolebinding", "prometheus", "--clusterrole=prometheus",
                f"--serviceaccount={env.ns}:prometheus")
    token = os.path.join(env.dir, "token")
    with open(token, "w", encoding="ascii") as out:
        out.write(env.kubectl("create", "token", "prometheus").strip())
    jobs = [{"job_name": path, "scheme": "https", "metrics_path": path,
             "tls_config": {"ca_file": f"{node.identity}/ca.crt"}, "authorization": {"credentials_file": token},
             "relabel_configs": [{"target_label": "job", "replacement": "kubelet"},
                                 {"source_labels": ["__metrics_path__"], "target_label": "metrics_path"}],
             "static_configs": [{"targets": [f"{node.ip}:{node.port}"]}]}
            for path in ("/metrics", "/metrics/resource", "/metrics/cadvisor", "/metrics/probes", "/metrics/slis")]
    config = os.path.join(env.dir, "prometheus.yml")
    with open(config, "w", encoding="utf-8") as out:
        json.dump({"global": {"scrape_interval": "2s", "evaluation_interval": "1s"}, "rule_files": [RULES],
                   "scrape_configs": jobs}, out)
    with open(os.path.join(env.logs, "prometheus.log"), "wb") as log:
        server = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={env.dir}/tsdb",
                                   "--web.listen-address=127.0.0.1:9090"],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        harness.until(lambda: query(env, "kubelet_node_name"), 60, "the node is scraped")
        yield
    finally:
        server.kill()
        server.wait(10)


def pod(env, name):
    return env.pod(name, terminationGracePeriodSeconds=0, containers=[
        env.container("work", "busybox:1", command=["sh", "-c", "while :; do :; done"],
                      readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1},
                      resources={"limits": {"cpu": "200m", "memory": "32Mi"}})])


def until_all_have_data(env, expressions):
    missing = set(expressions)

    def look():
        # Rates and quantiles of what happens now and then need it to happen while somebody looks.
        env.apply(pod(env, "passing"))
        env.wait_ready("pod/passing")
        env.delete("pod passing")
        missing.difference_update([expression for expression in missing if query(env, expression)])
        return not missing
    try:
        harness.until(look, 120, "all have data")
    except AssertionError as error:
        raise AssertionError(f"no data: {sorted(missing)}") from error


@harness.limit(300)
def test_panels_and_rules_have_data(env):
    node = env.node(config={"rotateCertificates": True})
    names, alerts = recorded()
    panels = [panel.replace("NS", env.ns) for panel in PANELS]
    # The server comes first, so that it sees each series grow.
    with prometheus(env, node):
        env.apply(pod(env, "busy"))
        env.wait_ready("pod/busy")
        env.logs_of("busy")
        assert node.get("/healthz") == (200, "ok")
        until_all_have_data(env, panels + grafana_panels() + names)
        slis = query(env, 'kubernetes_healthcheck{name="syncloop"}')
        assert slis and slis[0]["value"][1] == "1", slis
        groups = ask(env, "rules")["groups"]
        wrong = [rule for group in groups for rule in group["rules"] if rule["health"] != "ok"]
        assert not wrong, wrong
        told = {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}
        assert told == set(alerts) and told, (told, alerts)
        # Neither firing nor waiting for its time.
        near = []

        def quiet():
            near[:] = ask(env, "alerts")["alerts"]
            return not near
        try:
            harness.until(quiet, 60, "no alert is near")
        except AssertionError as error:
            raise AssertionError(f"alerts of a healthy node: {near}") from error
        targets = ask(env, "targets")["activeTargets"]
        assert len(targets) == 5 and all(target["lastError"] == "" for target in targets), targets


if __name__ == "__main__":
    harness.main()

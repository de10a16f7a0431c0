#!/usr/bin/env python3
"""A real Prometheus with our rule file: what dashboards made for kubelets ask for is there."""

import json
import os
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

RULES = f"{harness.ROOT}/deploy/prometheus/burstlet.rules.yaml"
URL = "http://127.0.0.1:9090/api/v1/"
# What the panels of the public kubelet and pod dashboards are made of.
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
]
RECORDED = [
    "node_namespace_pod_container:container_memory_working_set_bytes",
    "node_namespace_pod_container:container_memory_rss",
    "node_namespace_pod_container:container_memory_cache",
    "node_namespace_pod_container:container_cpu_usage_seconds_total:sum_rate5m",
    "namespace_pod:container_network_receive_bytes:rate5m",
    "node_operation:kubelet_runtime_operations:rate5m",
]


def ask(env, what, **parameters):
    try:
        return json.loads(env.fetch(f"{URL}{what}?{urllib.parse.urlencode(parameters)}"))["data"]
    except OSError:
        return None  # not up yet


def query(env, expression):
    data = ask(env, "query", query=expression)
    return [series for series in (data or {}).get("result", []) if series["value"][1] != "NaN"]


def start_prometheus(env, node):
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
            for path in ("/metrics", "/metrics/cadvisor", "/metrics/probes", "/metrics/slis")]
    config = os.path.join(env.dir, "prometheus.yml")
    with open(config, "w", encoding="utf-8") as out:
        json.dump({"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [RULES],
                   "scrape_configs": jobs}, out)
    log = open(os.path.join(env.logs, "prometheus.log"), "wb")
    return subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={env.dir}/tsdb",
                             "--web.listen-address=127.0.0.1:9090"],
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def test_the_rule_file_is_sound(_env):
    result = subprocess.run(["promtool", "check", "rules", RULES], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, timeout=30, check=False)
    assert result.returncode == 0 and "SUCCESS" in result.stdout, result.stdout


@harness.limit(300)
def test_panels_and_rules_have_data(env):
    node = env.node()
    env.apply(env.pod("busy", containers=[
        env.container("work", "busybox:1", command=["sh", "-c", "while :; do :; done"],
                      readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1},
                      resources={"limits": {"cpu": "200m", "memory": "32Mi"}})]))
    env.wait_ready("pod/busy")
    env.logs_of("busy")
    assert node.get("/healthz") == (200, "ok")
    server = start_prometheus(env, node)
    try:
        for panel in PANELS:
            expression = panel.replace("NS", env.ns)
            harness.until(lambda e=expression: query(env, e), 60, f"{expression} has data")
        for name in RECORDED:
            harness.until(lambda n=name: query(env, n), 60, f"{name} is recorded")
        slis = query(env, 'kubernetes_healthcheck{name="syncloop"}')
        assert slis and slis[0]["value"][1] == "1", slis
        groups = ask(env, "rules")["groups"]
        wrong = [rule for group in groups for rule in group["rules"] if rule["health"] != "ok"]
        assert not wrong, wrong
        targets = ask(env, "targets")["activeTargets"]
        assert len(targets) == 4 and all(target["lastError"] == "" for target in targets), targets
    finally:
        server.kill()
        server.wait(10)


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""The chart: helm finds no fault in it, and a real API server takes what it makes."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

CHART = os.path.join(harness.ROOT, "deploy", "helm", "burstlet")


def helm(*args):
    return harness.run(f"{harness.addon('helm')}/helm", *args, timeout=60)


def template(*args):
    return helm("template", "demo", CHART, "--kube-version", "1.37.0", *args)


def test_helm_finds_no_fault(_env):
    text = helm("lint", "--strict", CHART)
    assert "0 chart(s) failed" in text, text


def test_a_real_api_server_takes_all_of_it(env):
    made = template("--namespace", "kube-system", "--set", "config.podCIDR=10.88.0.0/16",
                "--set", "config.maxPods=100")
    answer = env.kubectl("apply", "--dry-run=server", "-f", "-", stdin=made, ns="kube-system")
    for name in ("serviceaccount/demo-burstlet", "configmap/demo-burstlet", "daemonset.apps/demo-burstlet",
                 "clusterrolebinding.rbac.authorization.k8s.io/demo-burstlet-bootstrap"):
        assert name in answer, answer


def test_the_agent_takes_the_configuration_that_it_makes(env):
    made = template("--set", "config.podCIDR=10.88.0.0/16", "--show-only",
                "templates/configmap.yaml")
    lines = made.split("config.yaml: |\n")[1].split("  bootstrap-kubeconfig:")[0].splitlines()
    path = os.path.join(env.dir, "config.yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(line[4:] for line in lines) + "\n")
    # Everything is read before the missing kubeconfig ends it.
    try:
        harness.run(env.burstlet, "node", "--config", path, "--kubeconfig", f"{env.dir}/missing", timeout=30)
        raise AssertionError("it runs without a kubeconfig")
    except harness.CommandError as error:
        assert "missing" in str(error) and "unknown field" not in str(error), error


def test_what_the_chart_sets_itself_can_not_be_set_twice(_env):
    try:
        template("--set", "config.port=1")
        raise AssertionError("it was taken")
    except harness.CommandError as error:
        assert "config.port is set by a value of its own" in str(error), error


if __name__ == "__main__":
    harness.main()

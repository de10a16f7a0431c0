#!/usr/bin/env python3
"""Controllers' workloads: Deployments roll, Jobs complete, DaemonSets and CronJobs run."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402


def pages(env, name):
    """The versions that the deployment's ready pods serve."""
    items = env.get(f"pods -l app={name}")["items"]
    live = [p for p in items if not p["metadata"].get("deletionTimestamp")]
    return sorted(env.fetch(f"http://{p['status']['podIP']}/").split("version ")[1].split()[0].strip("., \n")
                  for p in live)


def test_deployment_rolls_out_and_back(env):
    env.node()
    env.apply(env.deployment("shop", replicas=3, image="web:1"))
    env.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    assert pages(env, "shop") == ["1"] * 3
    env.kubectl("set", "image", "deployment/shop", f"main={env.image('web:2')}")
    env.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    harness.until(lambda: len(env.get("pods -l app=shop")["items"]) == 3, 30, "old pods are gone")
    assert pages(env, "shop") == ["2"] * 3
    env.kubectl("rollout", "undo", "deployment/shop")
    env.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    harness.until(lambda: len(env.get("pods -l app=shop")["items"]) == 3, 30, "old pods are gone")
    assert pages(env, "shop") == ["1"] * 3
    env.kubectl("scale", "deployment/shop", "--replicas=0")
    harness.until(lambda: not env.get("pods -l app=shop")["items"], 30, "scaled to nothing")


def test_job_completes(env):
    env.node()
    spec = env.pod_spec(image="busybox:1", command=["sh", "-c", "echo done"], restartPolicy="Never")
    env.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"},
               "spec": {"completions": 4, "parallelism": 2, "template": {"spec": spec}}})
    env.wait("job/sum", "condition=Complete", 60)
    assert env.kubectl("logs", "job/sum") == "done\n"


def test_job_fails_at_its_limit(env):
    env.node()
    spec = env.pod_spec(image="busybox:1", command=["sh", "-c", "exit 1"], restartPolicy="Never")
    env.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bad"},
               "spec": {"backoffLimit": 0, "template": {"spec": spec}}})
    env.wait("job/bad", "condition=Failed", 60)


def test_daemon_set_reaches_the_node(env):
    env.node()
    env.apply({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
               "spec": {"selector": {"matchLabels": {"app": "agent"}},
                        "template": {"metadata": {"labels": {"app": "agent"}}, "spec": env.pod_spec(image="web:1")}}})
    env.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")


@harness.limit(240)
def test_cron_job_runs(env):
    env.node()
    spec = env.pod_spec(image="busybox:1", command=["true"], restartPolicy="OnFailure")
    env.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"},
               "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": spec}}}}})
    env.kubectl("create", "job", "now", "--from=cronjob/tick")
    env.wait("job/now", "condition=Complete", 60)


if __name__ == "__main__":
    harness.main()

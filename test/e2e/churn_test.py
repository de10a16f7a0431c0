#!/usr/bin/env python3
"""Churn under fire: pods of every controller come, change and go while the agent is killed at random and the API server
is away now and then. In the end everything is as it was asked for, and nothing on the way was wrong.

BURSTLET_CHURN_SECONDS (50) and BURSTLET_CHURN_SEED (of the clock) by `test/dev churn SECONDS SEED`."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import churn  # noqa: E402
import harness  # noqa: E402
import history  # noqa: E402
import machine  # noqa: E402

SECONDS = int(os.environ.get("BURSTLET_CHURN_SECONDS") or 50)
SEED = int(os.environ.get("BURSTLET_CHURN_SEED") or time.time() % 100000)
OUTAGES = max(2, SECONDS // 60)
CONFIG = {"crashLoopBackOff": {"maxContainerRestartPeriod": "1s"}}
# What the first test leaves to the others; "statuses" are of the pods that were there in the end.
RUN = {"statuses": {}}


@harness.limit(SECONDS + 300)
def test_in_the_end_everything_is_as_it_was_asked_for(env):
    print(f"seed {SEED}, {SECONDS} s", flush=True)
    node = env.node(config=CONFIG)
    RUN["objects"] = objects = churn.Churn(env, SEED)
    RUN["history"] = watch = history.PodHistory(env)
    killer = churn.AgentKiller(node, SEED + 1)
    killer.start()
    begin = time.monotonic()
    outages = [begin + SECONDS * (i + 0.5) / OUTAGES for i in range(OUTAGES)]
    try:
        while time.monotonic() < begin + SECONDS:
            if outages and time.monotonic() > outages[0]:
                outages.pop(0)
                objects.outage()
            objects.step()
            time.sleep(objects.random.uniform(0, 0.4))  # the pace of the churn
    finally:
        killer.stop()
    print(f"{objects.steps} changes, {killer.kills} kills, {OUTAGES} outages", flush=True)
    env.node()
    try:
        settle(objects)
        RUN["statuses"] = {pod["metadata"]["uid"]: pod for pod in env.get("pods")["items"]}
        check_folders(node)
    finally:
        # What is deleted with the test's namespace is watched to its end, too.
        env.kubectl("delete", "deployments,statefulsets,jobs", "--all", "--wait=false")
        env.kubectl("delete", "pods", "--all", timeout=120)
        watch.stop()
    print(f"{watch.events} events of {len(watch.pods)} pods", flush=True)


def settle(objects):
    """Controllers that lost their API server come back with delays of their own."""
    deadline = time.monotonic() + 120
    while bad := objects.problems():
        assert time.monotonic() < deadline, "; ".join(bad)
        time.sleep(0.5)


def check_folders(node):
    """What the node keeps is of pods that are there."""
    there = set(RUN["statuses"])
    for folder in ("pods", "sandboxes"):
        path = os.path.join(node.root_dir, folder)
        harness.until(lambda p=path: set(os.listdir(p)) <= there, 30, f"{path} holds nothing but {len(there)} pods")


def test_nothing_ran_twice_or_met_its_predecessor(env):
    env.node()
    objects = RUN["objects"]
    assert not objects.violations(), "; ".join(objects.violations())
    runs = objects.runs()
    assert runs, "nothing ran"
    bad = [f"{uid}/{name}: {count} runs" for (uid, name), count in runs.items() if name != "flaky" and count > 1]
    for uid, pod in RUN["statuses"].items():
        status = pod["status"]
        for container in status.get("containerStatuses", []) + status.get("initContainerStatuses", []):
            count = runs.get((uid, container["name"]), 0)
            if count != container["restartCount"] + 1:
                bad.append(f"{pod['metadata']['name']}/{container['name']} ({uid}): {count} runs, "
                           f"{container['restartCount']} restarts told")
    assert not bad, "; ".join(bad)
    print(f"{sum(runs.values())} runs of {len(runs)} containers", flush=True)


def test_status_never_went_backwards(env):
    env.node()
    errors = RUN["history"].errors
    for error in errors:
        print(error, flush=True)
    assert not errors, f"{len(errors)} times; first: {errors[0]}"


def test_nothing_is_left(env):
    node = env.node()
    for folder in (f"{node.root_dir}/pods", f"{node.root_dir}/sandboxes", node.logs_dir):
        harness.until(lambda f=folder: not os.listdir(f), 30, f"{folder} is empty")
    harness.until(lambda: not [f for f in node.cgroup_folders() if "/pod" in f], 30, "no pod's cgroup is left")
    left = [pid for pid in node.processes() if "/witness" in machine.command_line(pid)]
    assert not left, left
    # Killed once more, the agent finds nothing to take up.
    node.restart()
    assert not os.listdir(f"{node.root_dir}/pods")


if __name__ == "__main__":
    harness.main()

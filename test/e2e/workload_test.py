#!/usr/bin/env python3
"""What controllers make of pods: Deployments, Jobs, DaemonSets, crash loops, private images."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

LOGIN = "tester:secret"


def ready_node(env):
    """One node for the whole suite, which trusts the private registries' authorities."""
    if "n1" not in env.nodes:
        env.private, basic_ca = env.private_registry(LOGIN)
        env.tokens, token_ca = env.private_registry(LOGIN, kind="token")
        bundle = os.path.join(env.dir, "registries.crt")
        with open(bundle, "w", encoding="ascii") as out:
            for path in (basic_ca, token_ca):
                with open(path, encoding="ascii") as source:
                    out.write(source.read())
        env.node("n1", config={"registries": {"caFile": bundle}})
    return env.node("n1")


def shell(env, script, **fields):
    return env.container(image="busybox:1", command=["sh", "-c", script], **fields)


def pages(env, label):
    pods = env.get(f"pods -l app={label}")["items"]
    return sorted(env.fetch(f"http://{p['status']['podIP']}/").split(", ")[1].strip() for p in pods
                  if "deletionTimestamp" not in p["metadata"])


def test_deployment_rollout_and_rollback(env):
    ready_node(env)
    env.apply(env.deployment("web", replicas=3, image="web:1"))
    env.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert pages(env, "web") == ["version 1"] * 3, pages(env, "web")
    env.kubectl("set", "image", "deployment/web", f"main={env.image('web:2')}")
    env.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert pages(env, "web") == ["version 2"] * 3, pages(env, "web")
    # A version that can't be pulled must not take the old pods away.
    env.kubectl("set", "image", "deployment/web", f"main={env.image('web:broken')}")
    harness.until(lambda: any("ImagePullBackOff" in json.dumps(p["status"])
                              for p in env.get("pods -l app=web")["items"]), 30, "the pull fails")
    assert len(env.get("deployment web")["status"]["conditions"]) > 0
    assert env.get("deployment web")["status"]["availableReplicas"] >= 2
    env.kubectl("rollout", "undo", "deployment/web")
    env.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert pages(env, "web") == ["version 2"] * 3, pages(env, "web")


def test_job_to_completion(env):
    ready_node(env)
    env.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"},
               "spec": {"completions": 4, "parallelism": 2, "template": {"spec": env.pod_spec(
                   containers=[shell(env, "echo $((6 * 7))")], restartPolicy="Never")}}})
    env.wait("job/sum", "condition=complete", 60)
    assert env.get("job sum")["status"]["succeeded"] == 4
    assert env.kubectl("logs", "job/sum").strip() == "42"


def test_job_that_fails_is_retried(env):
    ready_node(env)
    env.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bad"},
               "spec": {"backoffLimit": 1, "template": {"spec": env.pod_spec(
                   containers=[shell(env, "exit 1")], restartPolicy="Never")}}})
    env.wait("job/bad", "condition=failed", 90)
    assert env.get("job bad")["status"]["failed"] == 2


def test_cron_job_by_hand(env):
    ready_node(env)
    env.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"},
               "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {
                   "spec": env.pod_spec(containers=[shell(env, "echo tick")],
                                        restartPolicy="OnFailure")}}}}})
    env.kubectl("create", "job", "now", "--from=cronjob/tick")
    env.wait("job/now", "condition=complete", 60)


def test_daemon_set(env):
    ready_node(env)
    env.apply({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "each"},
               "spec": {"selector": {"matchLabels": {"app": "each"}}, "template": {
                   "metadata": {"labels": {"app": "each"}}, "spec": env.pod_spec()}}})
    env.kubectl("rollout", "status", "daemonset/each", "--timeout=60s")
    assert env.get("daemonset each")["status"]["numberReady"] == 1


def test_crash_loop_backs_off(env):
    ready_node(env)
    env.apply(env.pod("crash", containers=[shell(env, "exit 5")]))

    def looping(pod):
        status = (pod["status"].get("containerStatuses") or [{}])[0]
        waiting = status.get("state", {}).get("waiting", {})
        return waiting.get("reason") == "CrashLoopBackOff" and status["restartCount"] >= 2
    pod = env.wait_for("pods/crash", looping, 90)
    status = pod["status"]["containerStatuses"][0]
    assert "back-off" in status["state"]["waiting"]["message"], status
    assert status["lastState"]["terminated"]["exitCode"] == 5, status
    assert pod["status"]["phase"] == "Running", pod["status"]
    assert any(reason == "BackOff" for reason, _ in env.events("crash"))
    env.delete("pod crash", timeout=15)


def pull_with_and_without_login(env, registry):
    env.apply(env.pod("no-login", image=f"{registry}/web:1"))
    env.wait_for("pods/no-login", lambda p: "ImagePullBackOff" in json.dumps(p["status"]))
    user, password = LOGIN.split(":")
    env.kubectl("create", "secret", "docker-registry", "login", f"--docker-server={registry}",
                f"--docker-username={user}", f"--docker-password={password}")
    env.apply(env.pod("with-login", image=f"{registry}/web:1",
                      imagePullSecrets=[{"name": "login"}]))
    env.wait_ready("pod/with-login")
    # That the image is here now gives nobody else the right to it when the policy asks each time.
    container = env.container(image=f"{registry}/web:1")
    container["imagePullPolicy"] = "Always"
    env.apply(env.pod("thief", containers=[container]))
    env.wait_for("pods/thief", lambda p: "ErrImagePull" in json.dumps(p["status"])
                 or "ImagePullBackOff" in json.dumps(p["status"]))


def test_private_image(env):
    ready_node(env)
    pull_with_and_without_login(env, env.private)


def test_private_image_by_bearer_token(env):
    ready_node(env)
    pull_with_and_without_login(env, env.tokens)


@harness.limit(240)
def test_config_map_update_reaches_the_volume(env):
    ready_node(env)
    env.kubectl("create", "configmap", "settings", "--from-literal=color=blue")
    env.apply(env.pod("reader", containers=[shell(
        env, "sleep 1000", volumeMounts=[{"name": "settings", "mountPath": "/settings"}])],
        volumes=[{"name": "settings", "configMap": {"name": "settings"}}]))
    env.wait_ready("pod/reader")
    assert env.exec("reader", "cat", "/settings/color") == "blue"
    env.kubectl("patch", "configmap", "settings", "-p", '{"data":{"color":"green","size":"xl"}}')
    harness.until(lambda: env.exec("reader", "cat", "/settings/color") == "green", 90,
                  "the new value is in the volume")
    assert env.exec("reader", "cat", "/settings/size") == "xl"


def test_scale_up_and_down(env):
    node = ready_node(env)
    env.apply(env.deployment("many", replicas=30))
    env.kubectl("rollout", "status", "deployment/many", "--timeout=90s")
    addresses = [p["status"]["podIP"] for p in env.get("pods -l app=many")["items"]]
    assert len(set(addresses)) == 30, addresses
    env.kubectl("scale", "deployment/many", "--replicas=0")
    env.kubectl("wait", "pod", "-l", "app=many", "--for=delete", "--timeout=60s")
    assert node.running()


if __name__ == "__main__":
    harness.main()

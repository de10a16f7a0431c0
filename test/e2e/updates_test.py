#!/usr/bin/env python3
"""What changes under running pods: configuration, images that can't be had, numbers of replicas."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

LOGIN = "tester:secret"


def ready_node(env):
    """One node for the whole suite, which trusts the token registry's authority."""
    if "n1" not in env.nodes:
        env.tokens, ca = env.private_registry(LOGIN, kind="token")
        env.node("n1", config={"registries": {"caFile": ca}})
    return env.node("n1")


def shell(env, script, **fields):
    return env.container(image="busybox:1", command=["sh", "-c", script], **fields)


def pages(env, label):
    pods = env.get(f"pods -l app={label}")["items"]
    return sorted(env.fetch(f"http://{p['status']['podIP']}/").split(", ")[1].strip() for p in pods
                  if "deletionTimestamp" not in p["metadata"])


def test_a_broken_rollout_takes_nothing_away(env):
    ready_node(env)
    env.apply(env.deployment("web", replicas=3, image="web:1"))
    env.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    env.kubectl("set", "image", "deployment/web", f"main={env.image('web:broken')}")
    harness.until(lambda: any("ImagePullBackOff" in json.dumps(p["status"])
                              for p in env.get("pods -l app=web")["items"]), 30, "the pull fails")
    assert env.get("deployment web")["status"]["availableReplicas"] >= 2
    env.kubectl("rollout", "undo", "deployment/web")
    env.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    harness.until(lambda: pages(env, "web") == ["version 1"] * 3, 30, "three pods serve version 1")


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

#!/usr/bin/env python3
"""Images from real registries: kinds of layers and manifests, logins, pull policies, failures."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402


def waiting(pod):
    return {c.get("state", {}).get("waiting", {}).get("reason") for c in pod["status"].get("containerStatuses", [])}


def test_every_kind_of_image_runs(env):
    env.node()
    pods = []
    for name in ("compression:gzip", "compression:zstd", "compression:plain", "layers:130", "multiarch:oci",
                 "multiarch:docker"):
        pod = env.pod(name.replace(":", "-"), image=name, command=["sleep", "1000"])
        pods.append(pod)
    env.apply(*pods)
    for pod in pods:
        env.wait_ready(f"pod/{pod['metadata']['name']}", 90)
    assert env.exec("compression-zstd", "cat", "/compression").strip() == "zstd"
    assert len(env.exec("layers-130", "ls", "/layers").split()) == 10


def layer_mounts(node):
    """Mount ids of the node's layer images, by mount point."""
    with open("/proc/self/mountinfo", encoding="utf-8") as source:
        fields = [line.split() for line in source]
    return {f[4]: f[0] for f in fields if f[4].startswith(f"{node.root_dir}/images/") and "erofs" in f}


def test_layers_as_mounted_images(env):
    node = env.node("layers", {"imageLayers": {"format": "auto"}})
    names = ("compression:gzip", "compression:zstd", "layers:130")
    env.apply(*(env.pod(name.replace(":", "-"), image=name, command=["sleep", "1000"]) for name in names))
    for name in names:
        env.wait_ready(f"pod/{name.replace(':', '-')}", 90)
    assert env.exec("compression-zstd", "cat", "/compression").strip() == "zstd"
    assert len(env.exec("layers-130", "ls", "/layers").split()) == 10
    before = layer_mounts(node)
    checked = harness.run(env.burstlet, "check", "--root-dir", node.root_dir, "--config", f"{env.dir}/layers.yaml",
                          check=False)
    works = "EROFS images" in checked
    assert bool(before) == works, (checked, before)
    # A pod of an image that is here needs no mount more, and neither does an agent that was killed.
    node.restart()
    assert env.exec("compression-gzip", "cat", "/compression").strip() == "gzip"
    env.apply(env.pod("second", image="layers:130", command=["sleep", "1000"]))
    env.wait_ready("pod/second")
    assert layer_mounts(node) == before, (before, layer_mounts(node))
    assert len(env.exec("second", "ls", "/layers").split()) == 10


def test_image_configuration_is_honoured(env):
    env.node()
    env.apply(env.pod("conf", image="configured:1", restartPolicy="Never"))
    env.wait_for("pods/conf", lambda p: p["status"].get("phase") in ("Running", "Succeeded", "Failed"))
    env.wait_ready("pod/conf")
    user = env.get("pod conf")["status"]["containerStatuses"][0]["user"]["linux"]
    assert user["uid"] == 1234 and user["gid"] == 2345, user


def test_private_image_with_a_pull_secret(env):
    address, ca = env.private_registry()
    env.node("private", {"registries": {"caFile": ca}})
    anonymous = env.pod("anonymous", nodeName="private", containers=[env.container("main", f"{address}/web:1")])
    env.apply(anonymous)
    pod = env.wait_for("pods/anonymous", lambda p: waiting(p) & {"ErrImagePull", "ImagePullBackOff"})
    env.wait_for("pods/anonymous", lambda p: "ImagePullBackOff" in waiting(p))
    message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert "may require authorization" in message, message
    env.kubectl("create", "secret", "docker-registry", "login", f"--docker-server={address}",
                "--docker-username=tester", "--docker-password=secret")
    env.apply(env.pod("known", nodeName="private", imagePullSecrets=[{"name": "login"}],
                      containers=[env.container("main", f"{address}/web:1")]))
    env.wait_ready("pod/known")


def test_image_that_is_not_there(env):
    env.node()
    env.apply(env.pod("absent", containers=[env.container("main", f"{env.registry}/no/such:1")]))
    env.wait_for("pods/absent", lambda p: "ErrImagePull" in waiting(p) or "ImagePullBackOff" in waiting(p))
    pod = env.wait_for("pods/absent", lambda p: "ImagePullBackOff" in waiting(p))
    message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert "Back-off pulling image" in message and "no/such:1" in message, message


def test_policy_never_and_bad_names(env):
    env.node()
    never = env.container("main", "web:2")
    never["imagePullPolicy"] = "Never"
    never["image"] = f"{env.registry}/never/pulled:1"
    env.apply(env.pod("never", containers=[never]),
              env.pod("badname", containers=[env.container("main", "not/a//name:1")]))
    env.wait_for("pods/never", lambda p: "ErrImageNeverPull" in waiting(p))
    env.wait_for("pods/badname", lambda p: "InvalidImageName" in waiting(p))


def test_registry_that_cannot_be_reached(env):
    env.node()
    env.apply(env.pod("nobody", containers=[env.container("main", "127.0.0.1:1/x:1")]))
    env.wait_for("pods/nobody", lambda p: "ImagePullBackOff" in waiting(p))
    env.delete("pod nobody")


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""Static pods: files of the node's own or a URL's pods, their mirrors in the API, and what each outlives."""

import contextlib
import http.server
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

NODE = "n1"
SLEEP = "trap 'exit 0' TERM; echo started; while :; do sleep 1; done"


def ready_node(env):
    folder = os.path.join(env.dir, "manifests")
    os.makedirs(folder, exist_ok=True)
    return env.node(NODE, config={"staticPodPath": folder, "fileCheckFrequency": "1s"})


def manifest(env, name, script=SLEEP, **fields):
    labels = fields.pop("labels", {})
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": env.ns, "labels": labels},
            "spec": {"terminationGracePeriodSeconds": 5, "containers": [env.container(
                image="busybox:1", command=["sh", "-c", script])], **fields}}


def place(env, name, pod):
    """Puts a manifest into the node's folder as an editor does."""
    folder = os.path.join(env.dir, "manifests")
    with open(os.path.join(folder, f".{name}.new"), "w", encoding="utf-8") as out:
        out.write(pod if isinstance(pod, str) else json.dumps(pod))
    os.rename(os.path.join(folder, f".{name}.new"), os.path.join(folder, f"{name}.yaml"))


def take_away(env, name):
    os.remove(os.path.join(env.dir, "manifests", f"{name}.yaml"))


def container_id(pod):
    statuses = pod["status"].get("containerStatuses", [])
    return statuses[0].get("containerID", "") if statuses else ""


def is_ready(pod):
    return harness.condition(pod, "Ready") == "True"


def mirror_ready(env, name, other_than=""):
    return env.wait_for(f"pods/{name}-{NODE}",
                        lambda p: p["metadata"]["uid"] != other_than and is_ready(p) and
                        not p["metadata"].get("deletionTimestamp"))


def test_a_file_becomes_a_pod_with_a_mirror_that_can_be_used(env):
    ready_node(env)
    place(env, "web", manifest(env, "web"))
    pod = mirror_ready(env, "web")
    notes = pod["metadata"]["annotations"]
    assert notes["kubernetes.io/config.source"] == "file"
    assert notes["kubernetes.io/config.mirror"] == notes["kubernetes.io/config.hash"] != pod["metadata"]["uid"]
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert pod["status"]["podIP"]
    assert env.logs_of(f"web-{NODE}") == "started\n"
    assert env.exec(f"web-{NODE}", "echo", "hello") == "hello\n"
    take_away(env, "web")
    env.wait_gone(f"pod/web-{NODE}")


def test_a_deleted_mirror_comes_back_and_the_pod_runs_on(env):
    ready_node(env)
    place(env, "stubborn", manifest(env, "stubborn"))
    before = mirror_ready(env, "stubborn")
    for arguments in ((), ("--grace-period=0", "--force")):
        env.delete(f"pod stubborn-{NODE}", *arguments, wait=False)
        after = mirror_ready(env, "stubborn", other_than=before["metadata"]["uid"])
        assert container_id(after) == container_id(before)
        before = after
    take_away(env, "stubborn")
    env.wait_gone(f"pod/stubborn-{NODE}")


def test_a_changed_file_replaces_the_pod_and_its_mirror(env):
    ready_node(env)
    place(env, "app", manifest(env, "app"))
    before = mirror_ready(env, "app")
    place(env, "app", manifest(env, "app", labels={"version": "2"}))
    after = env.wait_for(f"pods/app-{NODE}",
                         lambda p: p["metadata"].get("labels", {}).get("version") == "2" and is_ready(p))
    assert container_id(after) != container_id(before)
    take_away(env, "app")
    env.wait_gone(f"pod/app-{NODE}")


def test_bad_files_are_named_in_the_log_and_harm_no_others(env):
    node = ready_node(env)
    place(env, "broken", "kind: [")
    place(env, "mapped", manifest(env, "mapped", volumes=[{"name": "v", "configMap": {"name": "x"}}]))
    place(env, "good", manifest(env, "good"))
    mirror_ready(env, "good")

    def told(*words):
        return any(all(word in line for word in words) for line in node.log_tail(400).splitlines())
    harness.until(lambda: told("broken.yaml"), 20, "the log names the broken file")
    harness.until(lambda: told("mapped.yaml", "static pods may not reference configmaps"), 20,
                  "the log says what is wrong with the other")
    for name in ("broken", "mapped", "good"):
        take_away(env, name)
    env.wait_gone(f"pod/good-{NODE}")


def marking(env, name):
    """A manifest whose container leaves a file, and that file: nobody else tells while the API server is away."""
    marker = os.path.join(env.dir, f"{name}-started")
    pod = manifest(env, name, f"touch /here/{name}-started; {SLEEP}",
                   volumes=[{"name": "here", "hostPath": {"path": env.dir, "type": "Directory"}}])
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "here", "mountPath": "/here"}]
    return pod, marker


@harness.limit(240)
def test_static_pods_start_and_live_without_an_api_server(env):
    node = ready_node(env)
    place(env, "first", manifest(env, "first"))
    first = mirror_ready(env, "first")
    env.control_plane("stop")
    try:
        pod, marker = marking(env, "second")
        place(env, "second", pod)
        harness.until(lambda: os.path.exists(marker), 30, "a second pod runs while nobody answers")
        node.kill()
        node.start(wait=False)
        pod, marker = marking(env, "third")
        place(env, "third", pod)
        harness.until(lambda: os.path.exists(marker), 30, "a third pod starts under the new agent")
    finally:
        env.control_plane("restart")
    after = env.wait_for(f"pods/first-{NODE}", is_ready)
    assert container_id(after) == container_id(first), "the first pod ran through all of it"
    for name in ("second", "third"):
        mirror_ready(env, name)
    for name in ("first", "second", "third"):
        take_away(env, name)
        env.wait_gone(f"pod/{name}-{NODE}")


def test_a_file_that_goes_while_no_agent_runs_ends_its_pod(env):
    node = ready_node(env)
    place(env, "brief", manifest(env, "brief"))
    mirror_ready(env, "brief")
    node.kill()
    take_away(env, "brief")
    node.start()
    env.wait_gone(f"pod/brief-{NODE}")


def test_a_critical_pod_takes_the_place_of_an_ordinary_one(env):
    folder = os.path.join(env.dir, "critical")
    os.makedirs(folder)
    env.node("n2", config={"staticPodPath": folder, "fileCheckFrequency": "1s", "maxPods": 1})
    env.apply(env.pod("ordinary", nodeName="n2", image="busybox:1", command=["sh", "-c", SLEEP]))
    env.wait_ready("pod/ordinary")
    with open(os.path.join(folder, "urgent.yaml"), "w", encoding="utf-8") as out:
        json.dump(manifest(env, "urgent"), out)
    env.wait_for("pods/urgent-n2", is_ready)
    status = env.wait_for("pods/ordinary", lambda p: p["status"]["phase"] == "Failed")["status"]
    assert (status["reason"], status["message"]) == ("Preempting", "Preempted in order to admit critical pod"), status
    (condition,) = [c for c in status["conditions"] if c["type"] == "DisruptionTarget"]
    assert (condition["status"], condition["reason"]) == ("True", "TerminationByKubelet"), condition
    assert condition["message"] == "Pod was preempted by Kubelet to accommodate a critical pod.", condition
    assert ("Preempting", "Preempted in order to admit critical pod") in env.events("ordinary")
    os.remove(os.path.join(folder, "urgent.yaml"))
    env.wait_gone("pod/urgent-n2")


class Manifests:
    """A server of manifests on loopback, which wants to be asked with a header."""

    def __init__(self):
        self.pods, self.asked = [], 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # pylint: disable=invalid-name
                outer.asked += 1
                good = self.headers.get("X-Node") == "n4"
                body = json.dumps({"apiVersion": "v1", "kind": "PodList", "items": outer.pods}).encode()
                self.send_response(200 if good else 403)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.handler, self.server, self.port = Handler, None, 0

    @contextlib.contextmanager
    def serving(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self.handler)
        self.port = self.server.server_address[1]
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


def test_pods_of_a_url_come_and_go_and_outlive_its_silence(env):
    manifests = Manifests()
    with manifests.serving():
        manifests.pods = [manifest(env, "far"), manifest(env, "near")]
        node = env.node("n4", config={"staticPodURL": f"http://127.0.0.1:{manifests.port}/pods",
                                      "staticPodURLHeader": {"X-Node": ["n4"]}, "httpCheckFrequency": "1s"})
        pod = env.wait_for("pods/far-n4", is_ready)
        env.wait_for("pods/near-n4", is_ready)
        assert pod["metadata"]["annotations"]["kubernetes.io/config.source"] == "http", pod["metadata"]
        assert env.logs_of("far-n4") == "started\n"
        manifests.pods = manifests.pods[:1]
        env.wait_gone("pod/near-n4")
    # Nobody answers, and the agent is another one: what it asked for before runs on.
    node.restart()
    after = env.wait_for("pods/far-n4", is_ready)
    assert container_id(after) == container_id(pod)
    with manifests.serving():
        manifests.pods = [manifest(env, "far", labels={"version": "2"})]
        changed = env.wait_for("pods/far-n4",
                               lambda p: p["metadata"].get("labels", {}).get("version") == "2" and is_ready(p))
        assert container_id(changed) != container_id(pod)
        manifests.pods = []
        env.wait_gone("pod/far-n4")


if __name__ == "__main__":
    harness.main()

"""Churn: objects that are made, changed and deleted at random while the agent is killed and the API server is away.

All decisions come from the seed; when they meet what the node is doing is the machine's. What must be there in the end
is kept beside what was asked for.
"""

import json
import os
import random
import threading
import time

import api
from node import condition

NAMES = {"pod": 4, "deployment": 2, "statefulset": 2, "job": 3}
SIZES = ("20m", "40m", "60m")
GROUPS = {"pod": "api/v1", "deployment": "apis/apps/v1", "statefulset": "apis/apps/v1", "job": "apis/batch/v1"}


class AgentKiller(threading.Thread):
    """Kills the agent with SIGKILL at random moments and starts it again, until stop()."""

    def __init__(self, node, seed):
        super().__init__(name="agent killer", daemon=True)
        self.node, self.random = node, random.Random(seed)
        self.kills = 0
        self.error = None
        self._ended = threading.Event()

    def run(self):
        try:
            while True:
                # Half of the kills meet an agent that has just come up, the others one in the middle of its work.
                self._ended.wait(self.random.choice((self.random.uniform(0, 0.6), self.random.expovariate(1 / 3))))
                if self._ended.is_set():
                    return
                assert self.node.running(), f"the agent ended by itself:\n{self.node.log_tail()}"
                self.node.kill()
                self.kills += 1
                self._ended.wait(self.random.choice((0, self.random.uniform(0, 1.5))))
                self.node.start(wait=False)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def stop(self):
        self._ended.set()
        self.join(30)
        if self.error:
            raise self.error


class Churn:
    """The objects, by kind and name, and what was asked for them."""

    def __init__(self, env, seed):
        self.env, self.random, self.api = env, random.Random(seed), api.Api(env)
        self.seen = os.path.join(env.dir, "seen")
        os.makedirs(self.seen, exist_ok=True)
        self.wanted = {}  # (kind, name) -> what it shall be
        self.forced = set()  # uids of pods that were forced away: their successors may meet them, as on any node
        self.held_up = {}  # (kind, name) -> (object, what it shall be): its predecessor has yet to go
        self.steps = 0
        self.serial = 0

    def step(self):
        """One change of one object."""
        self.steps += 1
        kind = self.random.choices(tuple(NAMES), weights=(4, 4, 3, 3))[0]
        name = f"{kind}-{self.random.randrange(NAMES[kind])}"
        self.make_held_up()
        if (kind, name) in self.held_up:
            return
        if (kind, name) not in self.wanted:
            getattr(self, f"make_{kind}")(name)
            return
        verbs = {"pod": (self.delete, self.delete, self.force_delete, self.resize),
                 "deployment": (self.scale, self.roll, self.roll, self.delete),
                 "statefulset": (self.scale, self.roll, self.replace_member, self.delete),
                 "job": (self.delete,)}[kind]
        self.random.choice(verbs)(kind, name)

    def path(self, kind, name=""):
        return f"/{GROUPS[kind]}/namespaces/{self.env.ns}/{kind}s{'/' if name else ''}{name}"

    # --- what is made

    def container(self, name, *args, **fields):
        field = {"POD_UID": "metadata.uid", "POD_NAME": "metadata.name"}
        env = [{"name": k, "valueFrom": {"fieldRef": {"fieldPath": v}}} for k, v in field.items()]
        mounts = [{"name": "seen", "mountPath": "/seen"}, {"name": "own", "mountPath": "/own"}]
        return self.env.container(name, image="tools:1", command=["/witness", "/seen", "--own", "/own", *args],
                                  env=[*env, {"name": "CONTAINER", "value": name}], volumeMounts=mounts, **fields)

    def spec(self, *containers, **fields):
        return self.env.pod_spec(list(containers), terminationGracePeriodSeconds=self.random.choice((1, 5, 30)),
                                 volumes=[{"name": "seen", "hostPath": {"path": self.seen}},
                                          {"name": "own", "emptyDir": {}}], **fields)

    def template(self, name, *containers, **fields):
        self.serial += 1
        labels = {"app": name, "round": str(self.serial)}
        return {"metadata": {"labels": labels}, "spec": self.spec(*containers, **fields)}

    def server_spec(self):
        """An init container, a sidecar and a server, each of which must run once."""
        sidecar = self.container("side", restartPolicy="Always")
        return {"initContainers": [self.container("init", "--for", "30"), sidecar]}

    def create(self, thing, goal):
        """At once, or as soon as the former one of that name has gone."""
        key = thing["kind"].lower(), thing["metadata"]["name"]
        if self.created(thing):
            self.wanted[key] = goal
        else:
            self.held_up[key] = thing, goal

    def make_held_up(self):
        for key, (thing, goal) in list(self.held_up.items()):
            if self.created(thing):
                del self.held_up[key]
                self.wanted[key] = goal

    def created(self, thing):
        try:
            self.api.do("POST", self.path(thing["kind"].lower()), thing)
            return True
        except api.ApiError as error:
            if error.code == 409:
                return False
            raise

    def make_pod(self, name):
        size = self.random.choice(SIZES)
        main = self.container("main", resources={"requests": {"cpu": size}, "limits": {"cpu": size}})
        fields = self.server_spec() if self.random.random() < 0.5 else {}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": self.spec(main, **fields)}
        self.create(pod, {"size": size})

    def make_deployment(self, name):
        replicas = self.random.randrange(4)
        template = self.template(name, self.container("main"), **self.server_spec())
        thing = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                 "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}}
        self.create(thing, {"replicas": replicas, "round": str(self.serial)})

    def make_statefulset(self, name):
        replicas = self.random.randrange(1, 3)
        thing = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
                 "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "serviceName": name,
                          "podManagementPolicy": self.random.choice(("Parallel", "OrderedReady")),
                          "template": self.template(name, self.container("main"))}}
        self.create(thing, {"replicas": replicas, "round": str(self.serial)})

    def make_job(self, name):
        """One whose container fails twice and is run again in place, or one that must succeed at once."""
        flaky = self.random.random() < 0.5
        args = ("--for", str(self.random.randrange(10, 900)), *(("--fail", "2") if flaky else ()))
        template = self.template(name, self.container("flaky" if flaky else "main", *args),
                                 restartPolicy="OnFailure" if flaky else "Never")
        self.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
                     "spec": {"completions": 2, "parallelism": 2, "backoffLimit": 4 if flaky else 0,
                              "template": template}}, {"flaky": flaky})

    # --- what is done to it

    def delete(self, kind, name):
        self.api.do("DELETE", self.path(kind, name),
                    {"propagationPolicy": self.random.choice(("Background", "Foreground"))})
        del self.wanted[kind, name]
        if self.random.random() < 0.7:
            getattr(self, f"make_{kind}")(name)

    def force(self, name):
        gone = self.api.do("DELETE", self.path("pod", name), {"gracePeriodSeconds": 0})
        self.forced.add(gone["metadata"].get("uid") or gone["details"]["uid"])

    def force_delete(self, kind, name):
        self.force(name)
        del self.wanted[kind, name]
        getattr(self, f"make_{kind}")(name)

    def replace_member(self, kind, name):
        """Of a stateful set: its controller makes another pod of the same name."""
        member = f"{name}-{self.random.randrange(self.wanted[kind, name]['replicas'])}"
        try:
            if self.random.random() < 0.5:
                self.force(member)
            else:
                self.api.do("DELETE", self.path("pod", member))
        except api.ApiError as error:
            if error.code != 404:
                raise

    def resize(self, kind, name):
        size = self.random.choice(SIZES)
        resources = {"requests": {"cpu": size}, "limits": {"cpu": size}}
        self.api.patch(self.path(kind, name) + "/resize",
                       {"spec": {"containers": [{"name": "main", "resources": resources}]}})
        self.wanted[kind, name]["size"] = size

    def scale(self, kind, name):
        replicas = self.random.randrange(1, 4)
        self.api.patch(self.path(kind, name), {"spec": {"replicas": replicas}})
        self.wanted[kind, name]["replicas"] = replicas

    def roll(self, kind, name):
        self.serial += 1
        labels = {"app": name, "round": str(self.serial)}
        self.api.patch(self.path(kind, name), {"spec": {"template": {"metadata": {"labels": labels}}}})
        self.wanted[kind, name]["round"] = str(self.serial)

    def outage(self):
        """The API server is away for some seconds; the agent is killed on."""
        self.env.control_plane("stop")
        time.sleep(self.random.uniform(1, 6))
        self.env.control_plane("start")
        # They would wait for half a minute before they look again, and the scheduler dies of a pod that it missed the
        # end of when there is another of its name.
        for component in ("scheduler", "controller-manager"):
            self.env.control_plane("restart", component)

    # --- what must come of it

    def problems(self):
        """What is not yet as it was asked for; empty: all is right."""
        self.make_held_up()
        bad = [f"{' '.join(key)} is not gone, so that it can be made" for key in self.held_up]
        for (kind, name), goal in self.wanted.items():
            thing = self.api.get(self.path(kind, name))
            bad += [f"{kind} {name}: {what}" for what in getattr(self, f"of_{kind}")(thing, goal)]
        stray = []
        for pod in self.api.get(self.path("pod"))["items"]:
            owner = (pod["metadata"].get("ownerReferences") or [{"kind": "Pod", "name": pod["metadata"]["name"]}])[0]
            kind, name = owner["kind"].lower(), owner["name"]
            if kind == "replicaset":
                kind, name = "deployment", name.rsplit("-", 1)[0]
            if (kind, name) not in self.wanted or pod["metadata"].get("deletionTimestamp"):
                stray.append(f"pod {pod['metadata']['name']} is still there")
        return bad + stray

    def members(self, thing, goal):
        pods = self.api.get(f"{self.path('pod')}?labelSelector=app%3D{thing['metadata']['name']}")["items"]
        if len(pods) != goal["replicas"]:
            yield f"{len(pods)} pods of {goal['replicas']}"
        for pod in pods:
            yield from self.of_pod(pod, {})
            if pod["metadata"]["labels"]["round"] != goal["round"]:
                yield f"{pod['metadata']['name']} is of round {pod['metadata']['labels']['round']}, not {goal['round']}"

    of_deployment = members
    of_statefulset = members

    @staticmethod
    def of_pod(pod, goal):
        name, status = pod["metadata"]["name"], pod["status"]
        if status.get("phase") != "Running" or condition(pod, "Ready") != "True":
            yield f"{name} is {status.get('phase')}, Ready {condition(pod, 'Ready')}"
        for container in status.get("containerStatuses", []) + status.get("initContainerStatuses", []):
            if container["restartCount"]:
                yield f"{name}/{container['name']} was restarted: {container}"
            size = container.get("resources", {}).get("limits", {}).get("cpu")
            if goal and container["name"] == "main" and size != goal["size"]:
                yield f"{name} has {size} of CPU, not {goal['size']}"
        if condition(pod, "PodResizePending") or condition(pod, "PodResizeInProgress"):
            yield f"{name} is still being resized"

    @staticmethod
    def of_job(job, goal):
        if condition(job, "Complete") != "True":
            yield f"not complete: {json.dumps(job['status'])}"
        if job["status"].get("failed") and not goal["flaky"]:
            yield f"a pod of it failed: {json.dumps(job['status'])}"

    def runs(self):
        """{(uid, container): how often it was started}"""
        found = {}
        for file in os.listdir(self.seen):
            if file.count(".") == 1 and not file.endswith(".lock"):
                with open(os.path.join(self.seen, file), encoding="ascii") as source:
                    found[tuple(file.split("."))] = len(source.readlines())
        return found

    def violations(self):
        """What witnesses complained of, and had the right to."""
        path = os.path.join(self.seen, "violations")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as source:
            lines = source.read().splitlines()
        holders = {line: line.split("(")[-1].rstrip(")") for line in lines}
        return [line for line in lines if "met another pod" not in line or holders[line] not in self.forced]

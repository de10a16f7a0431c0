"""What a watch tells of a namespace's pods, and whether any of it went backwards."""

import json
import threading
import time

import api

PHASES = {"": 0, "Pending": 0, "Running": 1, "Succeeded": 2, "Failed": 2}
CONTAINERS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
FIXED = ("startTime", "hostIP", "podIP", "qosClass")
# Once true, for as long as the pod lives.
LASTING = ("PodScheduled", "Initialized")


class PodHistory(threading.Thread):
    """Watches the pods of the test's namespace until stop(); goes on after outages of the API server."""

    def __init__(self, env):
        super().__init__(name="pod history", daemon=True)
        self.errors = []
        self.pods = {}  # uid -> the newest that was told
        self.gone = set()
        self.events = 0
        self._seen = {}  # uid -> what may not change any more
        self._api = api.Api(env)
        self._path = f"/api/v1/namespaces/{env.ns}/pods"
        self._version = ""
        self._ended = threading.Event()
        self.start()

    def stop(self):
        self._ended.set()
        self.join(30)
        assert not self.is_alive(), "the watch of the pods did not end"

    def run(self):
        while not self._ended.is_set():
            try:
                self._follow()
            except (OSError, ValueError):  # the API server is away, or a line was cut off by its end
                self._ended.wait(0.05)
            except api.ApiError:  # it is not yet whole, or the version is too old
                self._version = ""
                self._ended.wait(0.05)

    def _follow(self):
        # The time limit is one for silence, so that stop() is heard.
        with self._api.open("GET", f"{self._path}?watch=1&resourceVersion={self._version}", timeout=2) as stream:
            for line in stream:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    self._version = ""  # too old: what is there now is told anew
                    return
                pod = event["object"]
                self._version = pod["metadata"]["resourceVersion"]
                self.events += 1
                self._learn(event["type"], pod)
                if self._ended.is_set():
                    return

    def _wrong(self, pod, what):
        meta = pod["metadata"]
        self.errors.append(f"{time.strftime('%H:%M:%S')} {meta['name']} ({meta['uid']}): {what}")

    def _learn(self, kind, pod):
        uid, status = pod["metadata"]["uid"], pod.get("status", {})
        if uid in self.gone:
            self._wrong(pod, f"{kind} after its end")
        seen = self._seen.setdefault(uid, {"phase": "", "fixed": {}, "conditions": {}, "restarts": {}, "runs": {},
                                           "ids": {}, "generation": 0})
        self._phase(pod, status, seen)
        self._conditions(pod, status, seen)
        for kind_of in CONTAINERS:
            for container in status.get(kind_of) or []:
                self._container(pod, container, seen)
        generation = status.get("observedGeneration", 0)
        if generation < seen["generation"]:
            self._wrong(pod, f"observedGeneration {seen['generation']} -> {generation}")
        seen["generation"] = generation
        self.pods[uid] = pod
        if kind == "DELETED":
            self.gone.add(uid)
            self._end(pod, status)

    def _phase(self, pod, status, seen):
        phase, before = status.get("phase", ""), seen["phase"]
        if PHASES[phase] < PHASES[before] or (PHASES[before] == 2 and phase != before):
            self._wrong(pod, f"phase {before} -> {phase}")
        seen["phase"] = phase
        for name in FIXED:
            value, old = status.get(name), seen["fixed"].get(name)
            if old and value != old:
                self._wrong(pod, f"{name} {old} -> {value}")
            seen["fixed"][name] = value or old

    def _conditions(self, pod, status, seen):
        now = {c["type"]: c for c in status.get("conditions") or []}
        for name, old in seen["conditions"].items():
            new = now.get(name)
            if new is None:
                if not name.startswith("PodResize"):
                    self._wrong(pod, f"condition {name} is gone")
                continue
            moved = new.get("lastTransitionTime") or "", old.get("lastTransitionTime") or ""
            if new["status"] == old["status"] and moved[0] != moved[1]:
                self._wrong(pod, f"condition {name} is {new['status']} as before, since {moved[1]} -> {moved[0]}")
            if moved[0] < moved[1]:
                self._wrong(pod, f"condition {name} was changed at {moved[1]}, then at {moved[0]}")
            if name in LASTING and old["status"] == "True" != new["status"]:
                self._wrong(pod, f"condition {name} True -> {new['status']}")
        seen["conditions"] = now

    def _container(self, pod, container, seen):
        name, state = container["name"], container.get("state") or {}
        restarts, before = container["restartCount"], seen["restarts"].get(name, 0)
        if restarts < before:
            self._wrong(pod, f"{name}: restartCount {before} -> {restarts}")
        seen["restarts"][name] = restarts
        identity = container.get("containerID")
        if identity:
            first = seen["runs"].setdefault((name, restarts), identity)
            if first != identity and "waiting" not in state:
                self._wrong(pod, f"{name}: run {restarts} was {first}, now {identity}")
        if name in seen["ids"] and "waiting" in state and not identity and restarts == seen["ids"][name]:
            self._wrong(pod, f"{name}: run {restarts} was there and is waited for again: {state}")
        if identity and "waiting" not in state:
            seen["ids"][name] = restarts
        self._end_of_run(pod, container, seen)

    def _end_of_run(self, pod, container, seen):
        """An identity that has ended never runs again, and its end stays what it was."""
        ends = seen.setdefault("ends", {})
        for state in (container.get("lastState") or {}, container.get("state") or {}):
            ended = state.get("terminated")
            if ended and ended.get("containerID"):
                told = (ended["exitCode"], ended.get("startedAt"), ended.get("finishedAt"))
                first = ends.setdefault(ended["containerID"], told)
                if first != told:
                    self._wrong(pod, f"{container['name']}: the end of {ended['containerID']} was {first}, now {told}")
        running = "running" in (container.get("state") or {})
        if running and container.get("containerID") in ends:
            self._wrong(pod, f"{container['name']}: {container['containerID']} runs again")
        if running and PHASES[seen["phase"]] == 2:
            self._wrong(pod, f"{container['name']} runs in a pod that is {seen['phase']}")

    def _end(self, pod, status):
        """A pod that ended within its grace says of each container how."""
        if not pod["metadata"].get("deletionGracePeriodSeconds") or not pod["spec"].get("nodeName"):
            return
        for kind in CONTAINERS:
            for container in status.get(kind) or []:
                if "running" in (container.get("state") or {}):
                    self._wrong(pod, f"{container['name']} is running in the pod's last status")

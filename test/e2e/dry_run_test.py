#!/usr/bin/env python3
"""Pods without an API server against what a real one says: its defaults and its complaints.

Every document of test/testdata/defaults/*/pod.yaml is submitted as a dry run. Its answer is compared with
want.json beside it (which the unit tests use) and with what burstlet makes of the document
(build/test/pod_defaults). UPDATE_GOLDEN=1 writes want.json anew.

Left out is what admission adds, as there is none without a cluster: the service account and its token,
priority, and the two tolerations of failing nodes.
"""

import base64
import http.client
import json
import os
import ssl
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

CASES = os.path.join(harness.ROOT, "test", "testdata", "defaults")
PROGRAM = os.environ.get("BURSTLET_POD_DEFAULTS") or os.path.join(
    os.path.dirname(os.environ.get("BURSTLET_PROGRAM") or f"{harness.ROOT}/build/burstlet"),
    "test", "pod_defaults")
FAILING_NODES = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class ApiServer:
    """Dry runs over one connection: kubectl tells less of an error than the server's Status does."""

    def __init__(self, env):
        config = json.loads(env.kubectl("config", "view", "--raw", "-o", "json"))
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        with tempfile.TemporaryDirectory(dir=env.dir) as folder:
            context = ssl.create_default_context(
                cafile=self._file(cluster, "certificate-authority", folder))
            context.load_cert_chain(self._file(user, "client-certificate", folder),
                                    self._file(user, "client-key", folder))
        host, port = cluster["server"].split("//")[1].split(":")
        self.connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
        self.path = f"/api/v1/namespaces/{env.ns}/pods?dryRun=All&fieldValidation=Strict"

    @staticmethod
    def _file(entry, key, folder):
        if key in entry:
            return entry[key]
        path = os.path.join(folder, key)
        with open(path, "wb") as out:
            out.write(base64.b64decode(entry[f"{key}-data"]))
        return path

    def create(self, text):
        """(pod, []) or (None, complaints)."""
        self.connection.request("POST", self.path, text.encode(),
                                {"Content-Type": "application/yaml", "Accept": "application/json"})
        answer = json.loads(self.connection.getresponse().read())
        if answer["kind"] == "Pod":
            return answer, []
        causes = answer.get("details", {}).get("causes")
        if answer["reason"] != "Invalid" or not causes:
            return None, [f"refused before validation: {answer['message']}"]  # never what ours says
        return None, [f"{cause['field']}: {cause['message']}" for cause in causes]


def without_admission(pod, written):
    """The pod's spec and status without what admission plug-ins put into it."""
    spec = pod["spec"]
    for name in ("serviceAccountName", "serviceAccount"):
        if not (written.get("serviceAccountName") or written.get("serviceAccount")):
            spec.pop(name, None)
    spec.pop("priority", None)
    if "preemptionPolicy" not in written:
        spec.pop("preemptionPolicy", None)
    if "tolerations" not in written:
        spec.pop("tolerations", None)
    elif "tolerations" in spec:
        spec["tolerations"] = [t for t in spec["tolerations"]
                               if t.get("key") not in FAILING_NODES]
    token = [v["name"] for v in spec.get("volumes", []) if v["name"].startswith("kube-api-access-")]
    spec["volumes"] = [v for v in spec.get("volumes", []) if v["name"] not in token]
    for container in spec["containers"] + spec.get("initContainers", []):
        container["volumeMounts"] = [m for m in container.get("volumeMounts", [])
                                     if m["name"] not in token]
    return tidy({"spec": spec, "status": pod["status"]})


def tidy(value):
    """Without members that say no more than their absence: null, [], and resources: {}."""
    if isinstance(value, list):
        return [tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    cleaned = {key: tidy(item) for key, item in value.items()}
    return {key: item for key, item in cleaned.items()
            if item is not None and item != [] and not (key == "resources" and item == {})}


def ours(names):
    """What burstlet makes of the documents, by case."""
    files = [os.path.join(CASES, name, "pod.yaml") for name in names]
    found = {}
    for name, entry in zip(names, json.loads(harness.run(PROGRAM, *files))):
        if entry["errors"]:
            found[name] = {"errors": sorted(set(entry["errors"]))}
        else:
            found[name] = tidy({key: entry["pod"][key] for key in ("spec", "status")})
    return found


def difference(want, got, path=""):
    """The first few places where two documents differ, as text."""
    if isinstance(want, dict) and isinstance(got, dict):
        return [line for key in sorted(set(want) | set(got))
                for line in difference(want.get(key), got.get(key), f"{path}.{key}")]
    if isinstance(want, list) and isinstance(got, list) and path == ".errors":
        return [f"missing: {e}" for e in want if e not in got] + \
               [f"too much: {e}" for e in got if e not in want]
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        return [line for i, (a, b) in enumerate(zip(want, got))
                for line in difference(a, b, f"{path}[{i}]")]
    return [] if want == got else [f"{path}: the server has {want!r}, burstlet {got!r}"]


def theirs(env, names, mine):
    """What the server makes of the documents, by case. Ours tells which fields were written, as it
    adds nothing to those that admission fills."""
    server = ApiServer(env)
    found = {}
    for name in names:
        with open(os.path.join(CASES, name, "pod.yaml"), encoding="utf-8") as source:
            text = source.read()
        pod, errors = server.create(text)
        found[name] = {"errors": sorted(set(errors))} if errors else \
            without_admission(pod, mine[name].get("spec", {}))
    return found


def test_dry_run_agrees_with_the_api_server(env):
    env.cluster()
    env.kubectl("create", "serviceaccount", "builder")
    names = sorted(os.listdir(CASES))
    assert len(names) > 30, names
    mine = ours(names)
    wanted = theirs(env, names, mine)
    problems = []
    for name in names:
        golden = os.path.join(CASES, name, "want.json")
        if os.environ.get("UPDATE_GOLDEN"):
            with open(golden, "w", encoding="utf-8") as out:
                out.write(json.dumps(wanted[name], indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        with open(golden, encoding="utf-8") as source:
            recorded = json.load(source)
        problems += [f"{name}: recorded: {line}" for line in difference(wanted[name], recorded)]
        problems += [f"{name}: {line}" for line in difference(wanted[name], mine[name])]
    print("\n".join(problems))
    assert not problems, f"{len(problems)} differences, first: {problems[0]}"


if __name__ == "__main__":
    harness.main()

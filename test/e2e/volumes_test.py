#!/usr/bin/env python3
"""Volumes and environment of every driverless kind, on a real node."""

import base64
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

SLEEP = "trap 'exit 0' TERM; while :; do sleep 1; done"


def shell(env, script, name="main", variables=(), **fields):
    return env.container(name, image="busybox:1", command=["sh", "-c", script]) | {"env": list(variables)} | fields


def mount(name, path, **fields):
    return {"name": name, "mountPath": path, **fields}


def image_volume(env, name, image, **fields):
    return {"name": name, "image": {"reference": env.image(image), **fields}}


def container_status(pod, name):
    status = pod["status"]
    lists = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    return next((c for c in lists if c["name"] == name), {})


def waiting_reason(pod, name="main"):
    return container_status(pod, name).get("state", {}).get("waiting", {}).get("reason", "")


def waiting_message(pod, name="main"):
    return container_status(pod, name).get("state", {}).get("waiting", {}).get("message", "")


def script_result(env, name, script, mounts=(), variables=(), **spec):
    """Output of a shell script in a pod of its own that must succeed."""
    env.apply(env.pod(name, restartPolicy="Never", containers=[
        shell(env, script, variables=variables, volumeMounts=list(mounts))], **spec))
    pod = env.wait_for(f"pods/{name}", lambda p: p["status"].get("phase") in ("Succeeded", "Failed"))
    text = env.logs_of(name)
    assert pod["status"]["phase"] == "Succeeded", text
    return text


# --- image volumes ----------------------------------------------------------------------------

def test_an_image_volume_shows_the_image_read_only_whole_and_in_part(env):
    env.node()
    text = script_result(
        env, "viewer",
        "test -x /whole/bin/sh && ls /part | grep -x sh; "
        "touch /whole/x 2>&1 | grep -o 'Read-only file system'; "
        "touch /part/x 2>&1 | grep -o 'Read-only file system'; test ! -e /whole/etc/hosts.x && echo end",
        volumes=[image_volume(env, "tools", "busybox:1", pullPolicy="Always")],
        mounts=[mount("tools", "/whole"), mount("tools", "/part", subPath="bin")])
    assert text.split("\n")[:4] == ["sh", "Read-only file system", "Read-only file system", "end"]


def test_an_image_volume_that_is_missing_waits_beside_containers_that_run(env):
    env.node()
    env.apply(env.pod("half", containers=[
        shell(env, SLEEP, "with", volumeMounts=[mount("gone", "/data")]), shell(env, SLEEP, "without")],
        volumes=[image_volume(env, "gone", "no-such-image:1"),
                 image_volume(env, "unused", "no-such-image:2")]))
    pod = env.wait_for("pods/half", lambda p: waiting_reason(p, "with") == "ImagePullBackOff" and
                       "running" in container_status(p, "without").get("state", {}))
    assert "no-such-image:1" in waiting_message(pod, "with"), pod["status"]
    events = env.events("half")
    assert any(reason == "Failed" and "no-such-image:1" in text for reason, text in events), events


def test_an_image_volume_outlives_the_agent_and_serves_the_next_run(env):
    node = env.node()
    env.apply(env.pod("survivor", containers=[shell(
        env, SLEEP, volumeMounts=[mount("tools", "/tools")])],
        volumes=[image_volume(env, "tools", "busybox:1")]))
    env.wait_ready("pod/survivor")
    node.restart(hard=True)
    assert "sh" in env.exec("survivor", "ls", "/tools/bin").split()
    env.exec("survivor", "sh", "-c", "kill 1")
    env.wait_for("pods/survivor", lambda p: container_status(p, "main").get("restartCount", 0) == 1 and
                 container_status(p, "main").get("ready"))
    assert "sh" in env.exec("survivor", "ls", "/tools/bin").split()


def test_a_sub_path_that_an_image_lacks_is_an_error_that_names_it(env):
    env.node()
    env.apply(env.pod("wrong-part", containers=[shell(
        env, SLEEP, volumeMounts=[mount("tools", "/part", subPath="no/such/folder")])],
        volumes=[image_volume(env, "tools", "busybox:1")]))
    pod = env.wait_for("pods/wrong-part", lambda p: waiting_reason(p) == "CreateContainerError")
    assert "no/such/folder" in waiting_message(pod), pod["status"]


# --- environment files --------------------------------------------------------------------------

def from_file(name, key, path="app.env", **fields):
    return {"name": name, "valueFrom": {"fileKeyRef": {"volumeName": "files", "path": path, "key": key,
                                                       **fields}}}


def env_file_pod(env, name, text, variables, medium=None):
    script = f"cat > /files/app.env <<'EOF'\n{text}\nEOF\nln -s /app.env /files/link\n" \
             "ln -s /etc/passwd /files/out; mkfifo /files/fifo; mknod /files/dev c 1 5 || true"
    return env.pod(name, restartPolicy="Never", initContainers=[shell(
        env, script, "write", volumeMounts=[mount("files", "/files")])],
        volumes=[{"name": "files", "emptyDir": {"medium": medium} if medium else {}}],
        containers=[shell(env, "env | grep ^V_ | sort", variables=variables)])


def test_a_variable_comes_from_a_file_that_an_init_container_wrote(env):
    env.node()
    text = "# ours\nA='one two' # comment\nMULTI='line 1\nline 2'\nEMPTY=''"
    for name, medium in (("on-disk", None), ("in-memory", "Memory")):
        env.apply(env_file_pod(env, name, text, [
            from_file("V_A", "A"), from_file("V_LINK", "A", "link"), from_file("V_MULTI", "MULTI"),
            from_file("V_NONE", "NONE", optional=True), from_file("V_EMPTY", "EMPTY", optional=True)], medium))
        env.wait(f"pod/{name}", "jsonpath={.status.phase}=Succeeded")
        assert env.logs_of(name) == "V_A=one two\nV_LINK=one two\nV_MULTI=line 1\n", env.logs_of(name)


def test_an_environment_file_that_is_none_keeps_the_container_waiting(env):
    env.node()
    wrong = {"missing": "nowhere", "fifo": "fifo", "device": "dev", "outside": "out"}
    for name, path in wrong.items():
        env.apply(env_file_pod(env, name, "A='1'", [from_file("V_A", "A", path)]))
    env.apply(env_file_pod(env, "no-key", "A='1'", [from_file("V_A", "B")]))
    env.apply(env_file_pod(env, "malformed", "A=1", [from_file("V_A", "A")]))
    for name in (*wrong, "malformed"):
        pod = env.wait_for(f"pods/{name}", lambda p: waiting_reason(p) == "CreateContainerConfigError")
        assert waiting_message(pod) == "couldn't parse env file", pod["status"]
    pod = env.wait_for("pods/no-key", lambda p: waiting_reason(p) == "CreateContainerConfigError")
    assert waiting_message(pod).startswith('environment variable key "B" not found in file'), pod["status"]


# --- trust bundles ------------------------------------------------------------------------------

def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *args], input=stdin, capture_output=True, check=True).stdout


def new_authority(env, name):
    """(certificate PEM, certificate file, key file) of a certificate authority."""
    key, cert = (os.path.join(env.dir, f"{name}.{end}") for end in ("key", "crt"))
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-keyout", key, "-out", cert)
    with open(cert, encoding="ascii") as source:
        return source.read().strip() + "\n", cert, key


def trust_bundle(name, pem, signer=None, labels=None):
    spec = {"trustBundle": pem, **({"signerName": signer} if signer else {})}
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
            "metadata": {"name": name, "labels": labels or {}}, "spec": spec}


def projected(name, *sources, **fields):
    return {"name": name, "projected": {"sources": list(sources), **fields}}


def certificates_in(text):
    ends = text.split("-----END CERTIFICATE-----\n")
    return {part.strip() + "\n-----END CERTIFICATE-----\n" for part in ends if part.strip()}


def test_trust_bundles_by_name_and_by_signer_are_merged_and_kept_fresh(env):
    env.node()
    first, second, third = (new_authority(env, f"ca{i}")[0] for i in range(3))
    signer = "example.com/trust"
    env.apply(trust_bundle("plain", first),
              trust_bundle("example.com:trust:one", first, signer, {"use": "yes"}),
              trust_bundle("example.com:trust:two", second, signer, {"use": "yes"}),
              trust_bundle("example.com:trust:other", third, signer, {"use": "no"}))
    labels = {"matchLabels": {"use": "yes"}}
    env.apply(env.pod("trusting", containers=[shell(env, SLEEP, volumeMounts=[mount("trust", "/trust")])],
                      volumes=[projected("trust", *({"clusterTrustBundle": source} for source in (
                          {"name": "plain", "path": "plain.pem"},
                          {"signerName": signer, "labelSelector": labels, "path": "signer.pem"},
                          {"signerName": signer, "labelSelector": {}, "path": "all.pem"},
                          {"name": "absent", "optional": True, "path": "absent.pem"})))]))
    env.wait_ready("pod/trusting")

    def anchors(name):
        return certificates_in(env.exec("trusting", "cat", f"/trust/{name}.pem"))
    assert env.exec("trusting", "cat", "/trust/plain.pem") == first
    assert anchors("signer") == {first, second}
    assert anchors("all") == {first, second, third}
    assert env.exec("trusting", "cat", "/trust/absent.pem") == ""
    env.apply(trust_bundle("plain", third), trust_bundle("absent", second))
    harness.until(lambda: anchors("plain") == {third} and anchors("absent") == {second}, 60,
                  "the changed bundles are in the volume")
    env.delete("clustertrustbundle example.com:trust:two")
    harness.until(lambda: anchors("signer") == {first}, 60, "the deleted bundle is out of the volume")


def test_a_trust_bundle_that_is_not_there_yet_holds_the_pod_up(env):
    env.node()
    env.apply(env.pod("hoping", containers=[shell(env, SLEEP, volumeMounts=[mount("trust", "/trust")])],
                      volumes=[projected("trust", {"clusterTrustBundle": {"name": "later", "path": "ca.pem"}})]))
    harness.until(lambda: any('clustertrustbundle.certificates.k8s.io "later" not found' in text
                              for reason, text in env.events("hoping") if reason == "FailedMount"), 30,
                  "the event names the bundle")
    pem = new_authority(env, "later")[0]
    env.apply(trust_bundle("later", pem))
    env.wait_ready("pod/hoping")
    assert env.exec("hoping", "cat", "/trust/ca.pem") == pem


# --- certificates of pods -----------------------------------------------------------------------

SIGNER = "example.com/pods"


def certificate_requests(env):
    return env.get("podcertificaterequests")["items"]


def set_condition(env, request, condition, **status):
    now = status.pop("now")
    body = {"status": {**status, "conditions": [{
        "type": condition, "status": "True", "reason": "Test", "message": "by the test",
        "lastTransitionTime": now}]}}
    env.kubectl("patch", "podcertificaterequest", request["metadata"]["name"], "--subresource=status",
                "--type=merge", "-p", json.dumps(body))


def stamp(seconds=0):
    return subprocess.run(["date", "-u", "-d", f"{seconds} seconds", "+%Y-%m-%dT%H:%M:%SZ"], check=True,
                          capture_output=True, text=True).stdout.strip()


def issue(env, request, authority):
    _, ca_file, ca_key = authority
    extensions = os.path.join(env.dir, "extensions")
    with open(extensions, "w", encoding="ascii") as out:
        out.write("subjectAltName=DNS:pod.example.com\n")
    pem = openssl("x509", "-req", "-inform", "DER", "-CA", ca_file, "-CAkey", ca_key, "-CAcreateserial",
                  "-days", "1", "-extfile", extensions,
                  stdin=base64.b64decode(request["spec"]["stubPKCS10Request"])).decode()

    def date_of(option):
        text = openssl("x509", "-noout", option, stdin=pem.encode()).decode().split("=")[1].strip()
        return subprocess.run(["date", "-u", "-d", text, "+%Y-%m-%dT%H:%M:%SZ"], check=True,
                              capture_output=True, text=True).stdout.strip()
    set_condition(env, request, "Issued", now=stamp(), certificateChain=pem, notBefore=date_of("-startdate"),
                  beginRefreshAt=stamp(12 * 3600), notAfter=date_of("-enddate"))
    return pem


def certificate_pod(env, name, key_type="ED25519", **fields):
    source = {"signerName": SIGNER, "keyType": key_type, "credentialBundlePath": "bundle.pem",
              "keyPath": "key.pem", "certificateChainPath": "chain.pem", **fields}
    return env.pod(name, containers=[shell(env, SLEEP, volumeMounts=[mount("id", "/id")])],
                   volumes=[projected("id", {"podCertificate": source})])


def test_a_pod_gets_a_certificate_of_its_own(env):
    env.node()
    authority = new_authority(env, "pods")
    for key_type in ("ECDSAP384", "RSA3072"):
        name = f"member-{key_type.lower()}"
        env.apply(certificate_pod(env, name, key_type, maxExpirationSeconds=86400,
                                  userAnnotations={"example.com/hint": "x"}))
        mine = lambda: [r for r in certificate_requests(env) if r["spec"]["podName"] == name]  # noqa: E731
        harness.until(mine, 60, "the node asks for a certificate")
        request = mine()[0]
        pod = env.get(f"pod {name}")
        assert request["spec"]["podUID"] == pod["metadata"]["uid"]
        assert request["spec"]["nodeName"] == pod["spec"]["nodeName"]
        assert request["spec"]["unverifiedUserAnnotations"] == {"example.com/hint": "x"}
        assert request["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
        pem = issue(env, request, authority)
        env.wait_ready(f"pod/{name}")
        key, chain, bundle = (env.exec(name, "cat", f"/id/{part}.pem") for part in ("key", "chain", "bundle"))
        assert chain == pem and bundle == key + chain
        public = openssl("pkey", "-pubout", stdin=key.encode())
        assert public == openssl("x509", "-noout", "-pubkey", stdin=chain.encode())


def test_a_certificate_that_is_refused_keeps_the_pod_waiting(env):
    env.node()
    for name, condition in (("outcast", "Denied"), ("unlucky", "Failed")):
        env.apply(certificate_pod(env, name))
        mine = lambda: [r for r in certificate_requests(env) if r["spec"]["podName"] == name]  # noqa: E731
        harness.until(mine, 60, "the node asks for a certificate")
        harness.until(lambda: any("credential bundle is not issued yet" in text for _, text in env.events(name)),
                      30, "an event says what the pod waits for")
        set_condition(env, mine()[0], condition, now=stamp())
        harness.until(lambda: any(reason == condition for reason, _ in env.events(name)), 30, "the event says no")
        said = f"PodCertificateRequest was permanently {condition.lower()}"
        harness.until(lambda: any(reason == "FailedMount" and said in text for reason, text in env.events(name)),
                      60, "the volume says why")
        assert env.get(f"pod {name}")["status"]["phase"] == "Pending"


# --- parts of volumes -----------------------------------------------------------------------------

def test_a_sub_path_is_made_or_found_and_never_leads_out(env):
    env.node()
    env.kubectl("create", "configmap", "parts", "--from-literal=a=1", "--from-literal=b=2")
    text = script_result(
        env, "parts", "cat /only/a; ls /only; echo x > /made/x; cat /all/deep/parts/x; cat /mine/x",
        variables=[{"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        volumes=[{"name": "map", "configMap": {"name": "parts"}}, {"name": "disk", "emptyDir": {}}],
        mounts=[mount("map", "/only/a", subPath="a"), mount("disk", "/made", subPath="deep/parts"),
                mount("disk", "/mine", subPathExpr="deep/$(ME)"), mount("disk", "/all")])
    assert text == "1a\nx\nx\n", text
    env.apply(env.pod("escape", restartPolicy="Never", volumes=[{"name": "disk", "emptyDir": {}}],
                      initContainers=[shell(env, "ln -s / /disk/out; ln -s ../.. /disk/up", "link",
                                            volumeMounts=[mount("disk", "/disk")])],
                      containers=[shell(env, "true", "out", volumeMounts=[mount("disk", "/x", subPath="out/etc")]),
                                  shell(env, "true", "up", volumeMounts=[mount("disk", "/x", subPath="up")])]))
    pod = env.wait_for("pods/escape", lambda p: waiting_reason(p, "out") and waiting_reason(p, "up") and
                       all("subPath" in waiting_message(p, name) for name in ("out", "up")))
    assert pod["status"]["phase"] == "Pending"


# --- updates ------------------------------------------------------------------------------------

def test_an_optional_source_that_appears_later_reaches_the_volume(env):
    env.node()
    env.apply(env.pod("patient", containers=[shell(env, SLEEP, volumeMounts=[
        mount("maps", "/maps"), mount("secret", "/secret"), mount("both", "/both")])], volumes=[
        {"name": "maps", "configMap": {"name": "late", "optional": True}},
        {"name": "secret", "secret": {"secretName": "late", "optional": True}},
        projected("both", {"configMap": {"name": "late", "optional": True, "items": [
            {"key": "a", "path": "deep/a"}, {"key": "missing", "path": "missing"}]}})]))
    env.wait_ready("pod/patient")
    assert env.exec("patient", "sh", "-c", "ls /maps /secret /both") == "/both:\n\n/maps:\n\n/secret:\n"
    env.kubectl("create", "configmap", "late", "--from-literal=a=1")
    env.kubectl("create", "secret", "generic", "late", "--from-literal=b=2")
    harness.until(lambda: env.exec("patient", "sh", "-c", "cat /maps/a /secret/b /both/deep/a", check=False) == "121",
                  60, "the objects are in the volumes")
    assert env.exec("patient", "ls", "/both").split() == ["deep"]


def test_what_a_required_source_held_stays_when_the_source_goes(env):
    env.node()
    env.kubectl("create", "configmap", "here", "--from-literal=a=1")
    env.kubectl("create", "configmap", "there", "--from-literal=b=1")
    env.apply(env.pod("keeper", containers=[shell(env, SLEEP, volumeMounts=[
        mount("here", "/here"), mount("there", "/there")])], volumes=[
        {"name": "here", "configMap": {"name": "here"}}, {"name": "there", "configMap": {"name": "there"}}]))
    env.wait_ready("pod/keeper")
    env.delete("configmap here")
    env.kubectl("patch", "configmap", "there", "-p", '{"data":{"b":"2"}}')
    # The other volume goes on being updated.
    harness.until(lambda: env.exec("keeper", "cat", "/there/b") == "2", 90, "the other volume is fresh")
    assert env.exec("keeper", "cat", "/here/a") == "1"
    assert env.get("pod keeper")["status"]["phase"] == "Running"


if __name__ == "__main__":
    harness.main()

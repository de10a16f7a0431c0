"""The API server by plain HTTP, for suites that ask it more often than a kubectl process each time is good for."""

import json
import ssl
import urllib.error
import urllib.request


class ApiError(Exception):
    """An answer that is no success."""

    def __init__(self, code, text):
        self.code = code
        super().__init__(f"{code}: {text[:500]}")


class Api:
    """The administrator's client of a suite's cluster. Threads: any."""

    def __init__(self, env):
        env.cluster()
        with open(f"{env.cluster_dir}/spec.json", encoding="utf-8") as source:
            self.server = json.load(source)["facts"]["server"]
        pki = f"{env.cluster_dir}/pki"
        context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
        context.load_cert_chain(f"{pki}/admin.crt", f"{pki}/admin.key")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                                   urllib.request.HTTPSHandler(context=context))

    def open(self, method, path, body=None, kind="application/json", timeout=30):
        """The answer, to be read by and by."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server + path, data, {"Content-Type": kind}, method=method)
        try:
            return self._opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")) from None

    def do(self, method, path, body=None, kind="application/json"):
        with self.open(method, path, body, kind) as answer:
            return json.load(answer)

    def get(self, path):
        return self.do("GET", path)

    def patch(self, path, body):
        return self.do("PATCH", path, body, "application/strategic-merge-patch+json")

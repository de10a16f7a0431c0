#!/usr/bin/env python3
"""The fields of PodSpec by the API server's own schema, and whether provider/README.md says something of each.

  pod_fields.py list OPENAPI             prints the leaf paths of an /openapi/v3/api/v1 document ("-": standard input)
  pod_fields.py check OPENAPI README     fails with the paths that the README's table lacks, or has without need
"""
import json
import re
import sys

PREFIX = "#/components/schemas/"
# Not objects to look into: they are single values in JSON.
VALUES = ("io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
          "io.k8s.apimachinery.pkg.apis.meta.v1.Time")


def resolve(schema):
    """The referenced type's name, if the schema is a reference (bare, or in an allOf of one)."""
    for candidate in [schema] + schema.get("allOf", []):
        if "$ref" in candidate:
            return candidate["$ref"][len(PREFIX):]
    return None


def leaves(schemas, schema, path, seen):
    name = resolve(schema)
    if name is not None:
        if name in VALUES or name in seen:
            return [path]
        return leaves(schemas, schemas[name], path, seen | {name})
    if schema.get("type") == "array":
        return leaves(schemas, schema["items"], path + "[]", seen)
    properties = schema.get("properties")
    if not properties:
        return [path]
    found = []
    for field in sorted(properties):
        found += leaves(schemas, properties[field], f"{path}.{field}", seen)
    return found


def pod_fields(document):
    schemas = document["components"]["schemas"]
    return leaves(schemas, {"$ref": PREFIX + "io.k8s.api.core.v1.PodSpec"}, "spec", frozenset())


def readme_rows(text):
    """Paths of the table between the markers; {a,b} stands for each of its alternatives."""
    block = text.split("<!-- fields -->")[1].split("<!-- /fields -->")[0]
    rows = []
    for path in re.findall(r"^\| `([^`]+)`", block, re.M):
        alternatives = re.search(r"\{([^}]+)\}", path)
        if alternatives:
            rows += [path.replace(alternatives.group(0), word) for word in alternatives.group(1).split(",")]
        else:
            rows.append(path)
    return rows


def covers(row, leaf):
    return leaf == row or leaf.startswith(row + ".") or leaf.startswith(row + "[]")


def main():
    source = sys.stdin if sys.argv[2] == "-" else open(sys.argv[2], encoding="utf-8")
    fields = pod_fields(json.load(source))
    if sys.argv[1] == "list":
        print("\n".join(fields))
        return 0
    with open(sys.argv[3], encoding="utf-8") as readme:
        rows = readme_rows(readme.read())
    missing = [leaf for leaf in fields if not any(covers(row, leaf) for row in rows)]
    stale = [row for row in rows if not any(covers(row, leaf) for leaf in fields)]
    for leaf in missing:
        print(f"not in the table: {leaf}")
    for row in stale:
        print(f"not in the schema: {row}")
    return 1 if missing or stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""Takes from GitHub's OpenAPI description (npm package @octokit/openapi) what it says of requests.

    github_openapi.py DESCRIPTION > REQUESTS

What is left is an operation each with its parameters and its body, as JSON Schema: OpenAPI 3.0 writes `nullable` where
JSON Schema has a type of its own. Descriptions and responses are left out. An object whose fields are listed has no others: that
is stricter than the description, so that a misspelt field is found.
"""

import json
import sys

ABOUT_NOTHING = {"description", "example", "examples", "externalDocs", "title", "deprecated", "x-github", "xml", "readOnly"}


def resolved(description, reference):
    found = description
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def schema(description, value, inside=()):
    if isinstance(value, list):
        return [schema(description, each, inside) for each in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if reference is not None:
        # What contains itself may be anything there.
        if reference in inside:
            return {}
        return schema(description, resolved(description, reference), (*inside, reference))
    # A property may be called like a keyword.
    named = {name: schema(description, each, inside) for name, each in value.get("properties", {}).items()}
    rest = {name: each for name, each in value.items() if name not in ABOUT_NOTHING and name not in ("properties", "nullable")}
    made = {name: schema(description, each, inside) if name != "enum" else each for name, each in rest.items()}
    if "properties" in value:
        made["properties"] = named
        parts = ("allOf", "anyOf", "oneOf")
        if not any(part in made for part in parts):
            made.setdefault("additionalProperties", False)
    if value.get("nullable"):
        made = {"anyOf": [{"type": "null"}, made]}
    return made


def operations(description):
    for path, item in description["paths"].items():
        for method in ("get", "put", "post", "patch", "delete"):
            operation = item.get(method)
            if operation is None:
                continue
            parameters = [*item.get("parameters", []), *operation.get("parameters", [])]
            parameters = [resolved(description, each["$ref"]) if "$ref" in each else each for each in parameters]
            body = operation.get("requestBody")
            content = (body or {}).get("content", {}).get("application/json")
            yield {
                "method": method.upper(),
                "path": path,
                "parameters": [
                    {
                        "name": each["name"],
                        "in": each["in"],
                        "required": each.get("required", False),
                        "schema": schema(description, each.get("schema", {})),
                    }
                    for each in parameters
                ],
                "body": content
                and {"required": body.get("required", False), "schema": schema(description, content["schema"])},
            }


with open(sys.argv[1], encoding="utf-8") as file:
    whole = json.load(file)
json.dump(list(operations(whole)), sys.stdout, separators=(",", ":"))

"""What to ask after an answer: the links between operations, of the OpenAPI document.

https://spec.openapis.org/oas/v3.1.1.html#link-object
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from logs.api.schema.components import Schema

# OpenAPI has no word for a part of a header; this one is Schemathesis's.
_NEXT_CURSOR = "$response.header.Link#regex:[?&]cursor=([^&>]+)"


def add_links(result: Schema, **kwargs: Any) -> Schema:
    """Add to the 200 of each operation where to go on from it: a postprocessing hook of drf-spectacular."""
    operations = {
        operation["operationId"]: operation for path in result["paths"].values() for operation in path.values()
    }
    sent, found, changed = ("$request.body#/0", "$response.body#/0", "$response.body#/changes/0")
    links = {
        "appendLogs": {
            "readSession": _link("readLogs", "The log of the first one's session.", _of(sent, "userId", "sessionId")),
            "readUser": _link("readLogs", "The logs of the first one's user.", _of(sent, "userId")),
            "followUser": _link("followChanges", "What is stored of the first one's user.", _of(sent, "userId")),
        },
        "readLogs": {
            "nextPage": _link(
                "readLogs",
                "The next page, while there is one.",
                {**_same(operations["readLogs"]), "cursor": _NEXT_CURSOR},
            ),
            "readUser": _link("readLogs", "All logs of the first one's user.", _of(found, "userId")),
        },
        "followChanges": {
            "nextChanges": _link(
                "followChanges",
                "What was stored since.",
                {**_same(operations["followChanges"]), "after": "$response.body#/cursor"},
            ),
            "readSession": _link("readLogs", "The log of the first change.", _of(changed, "userId", "sessionId")),
        },
    }
    for name, its_links in links.items():
        operations[name]["responses"]["200"]["links"] = its_links
    return result


def _link(operation: str, description: str, parameters: dict[str, str]) -> Schema:
    return {"operationId": operation, "description": description, "parameters": parameters}


def _of(place: str, *names: str) -> dict[str, str]:
    return {name: f"{place}/{name}" for name in names}


def _same(operation: Schema) -> dict[str, str]:
    """Return the query of a request as the parameters of the next one."""
    parameters: Sequence[Schema] = operation["parameters"]
    return {each["name"]: f"$request.query.{each['name']}" for each in parameters if each["in"] == "query"}

"""The schemas that the operations name, made from the serializers' declared fields and the table of errors."""

from __future__ import annotations

from typing import Any, TypeAlias

from django.conf import settings
from rest_framework import serializers
from rest_framework.settings import api_settings

from logs.api.example import example_log
from logs.api.fields import StrictNumber, StrictString
from logs.api.serializers import ActionSerializer, LogSerializer
from logs.lib.errors import ErrorCode
from logs.lib.limits import MAX_DEPTH, MAX_KEY_LENGTH, MAX_PROPERTIES_BYTES, MAX_VIOLATIONS
from logs.models import ActionType

Schema: TypeAlias = dict[str, Any]

# JSON Schema has no word for what U+0000 is; lone surrogates can't be in UTF-8 at all.
NO_NUL = r"^[^\u0000]*$"
# A key's first and last character are no spaces: HTTP strips those from a header.
IDEMPOTENCY_KEY = rf"^[!-~]([ -~]{{0,{MAX_KEY_LENGTH - 2}}}[!-~])?$"
IDEMPOTENCY_KEY_IN_QUERY = rf"^[ -~]{{1,{MAX_KEY_LENGTH}}}$"

_LEAP_YEAR = r"([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DAY = (
    r"([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
    r"|[0-9]{4}-(0[13-9]|1[0-2])-(29|30)"
    r"|[0-9]{4}-(0[13578]|1[02])-31"
    rf"|{_LEAP_YEAR}-02-29)"
)
# The year 0 is in no calendar of the databases, nor are the last hours of 9999, which are in 10000 by UTC.
_EXACT_TIME = rf"^(?!0000|9999-12-31T(1[89]|2)){_DAY}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]-06:00$"


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def time_schema() -> Schema:
    """Return the schema of a time in a body or a query."""
    if settings.LOGSTORE_ANY_OFFSET:
        return {"type": "string", "format": "date-time", "examples": ["2018-10-18T21:37:28.5Z"]}
    return {"type": "string", "pattern": _EXACT_TIME, "examples": ["2018-10-18T21:37:28-06:00"]}


def add_components(result: Schema, **kwargs: Any) -> Schema:
    """Add the schemas that the operations name to a document: a postprocessing hook of drf-spectacular."""
    for operation in (operation for path in result["paths"].values() for operation in path.values()):
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True
        else:
            _complete_query(operation.get("parameters", []))
    log = example_log()
    schemas = {
        "Batch": {"type": "array", "minItems": 1, "items": ref("Log"), "examples": [[log]]},
        "Log": {
            **_object(LogSerializer, actions={"type": "array", "minItems": 1, "items": ref("Action")}),
            "description": "What one user did in one session.",
            "examples": [log],
        },
        "Action": {
            "description": "One thing done in a session; `type` says which properties it needs.",
            "oneOf": [ref(_action_name(name)) for name in ActionType.values],
            "discriminator": {
                "propertyName": "type",
                "mapping": {name: ref(_action_name(name))["$ref"] for name in ActionType.values},
            },
        },
        "JSONValue": _json_value(),
        "Receipt": _RECEIPT,
        "Change": _change(log),
        "Position": _POSITION,
        "Changes": {
            "type": "object",
            "required": ["changes", *_POSITION["required"]],
            "properties": {"changes": {"type": "array", "items": ref("Change")}, **_POSITION["properties"]},
            "additionalProperties": False,
        },
        "ErrorCode": {
            "type": "string",
            "enum": [code.name for code in ErrorCode if code is not ErrorCode.INTERNAL_ERROR],
        },
        "Error": _ERROR,
    }
    examples = {action["type"]: action for action in log["actions"]}
    for action_type, properties in ActionSerializer.properties_by_type.items():
        example = examples[action_type]
        schemas[_action_name(action_type)] = {
            **_object(
                ActionSerializer,
                time=time_schema(),
                type={"type": "string", "const": str(action_type)},
                properties=ref(properties.__name__),
            ),
            "examples": [example],
        }
        schemas[properties.__name__] = {
            **_object(properties),
            "additionalProperties": ref("JSONValue"),
            "propertyNames": {"pattern": NO_NUL},
            "description": f"At most {MAX_PROPERTIES_BYTES // 1024} KiB as JSON. Other members are kept and returned.",
            "examples": [example["properties"]],
        }
    result.setdefault("components", {})["schemas"] = dict(sorted(schemas.items()))
    result["components"]["securitySchemes"] = SECURITY_SCHEMES
    return result


def _complete_query(parameters: list[Schema]) -> None:
    # Django REST Framework's own parameter would come first.
    parameters.sort(key=lambda parameter: parameter["name"] == api_settings.URL_FORMAT_OVERRIDE)
    for parameter in parameters:
        if parameter["in"] == "query":
            # Then it counts as absent.
            parameter["allowEmptyValue"] = True
        if parameter["name"] == "limit":
            # What Swagger UI sends at first: a browser can't show all that a store holds.
            parameter["example"] = 10


SECURITY_SCHEMES: dict[str, Schema] = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "A key with the scope for the operation."},
    "ingestKeyInQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "key",
        "description": "For a browser's sendBeacon, which can send no header: a key that may only ingest.",
    },
}


def _object(serializer: type[serializers.Serializer[Any]], **given: Schema) -> Schema:
    """Return the schema of a serializer. given: the schemas of some fields, in place of those made from the fields."""
    fields = serializer().fields
    return {
        "type": "object",
        "required": [name for name, field in fields.items() if field.required],
        "properties": {name: given.get(name) or _field_schema(field) for name, field in fields.items()},
    }


def _field_schema(field: serializers.Field[Any, Any, Any, Any]) -> Schema:
    match field:
        case StrictString():
            return {"type": "string", "minLength": 1, "maxLength": field.max_length, "pattern": NO_NUL}
        case StrictNumber():
            return {"type": "number", "minimum": field.min_value, "maximum": field.max_value}
        case _:
            raise TypeError(f"no schema for a {type(field).__name__}")


def _action_name(action_type: str) -> str:
    return f"{action_type.capitalize()}Action"


def _json_value() -> Schema:
    return {
        "description": f"Any JSON without U+0000, nested at most {MAX_DEPTH} levels deep in the body.",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            {"type": "string", "pattern": NO_NUL},
            {"type": "array", "items": ref("JSONValue")},
            {"type": "object", "additionalProperties": ref("JSONValue"), "propertyNames": {"pattern": NO_NUL}},
        ],
    }


def _change(log: Schema) -> Schema:
    described = _object(LogSerializer, actions={"type": "array", "minItems": 1, "items": ref("Action")})
    received = {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "When the store received it; null for what it has from before it noted that.",
    }
    return {
        **described,
        "required": ["receivedAt", *described["required"]],
        "properties": {"receivedAt": received, **described["properties"]},
        "description": "A log with the actions that it was given at one time.",
        "examples": [{"receivedAt": "2018-10-19T03:37:31.250000Z", **log}],
    }


_POSITION: Schema = {
    "type": "object",
    "required": ["cursor", "more"],
    "properties": {
        "cursor": {"type": "string", "description": "The place to go on from: the next `after`."},
        "more": {"type": "boolean", "description": "Whether to go on at once."},
    },
    "additionalProperties": False,
}
_RECEIPT: Schema = {
    "type": "object",
    "required": ["success", "stored", "duplicates"],
    "properties": {
        "success": {"type": "boolean", "const": True},
        "stored": {"type": "integer", "minimum": 0, "description": "How many actions this request stored."},
        "duplicates": {
            "type": "integer",
            "minimum": 0,
            "description": "How many it did not, because they came before under the same Idempotency-Key.",
        },
    },
    "additionalProperties": False,
    "examples": [{"success": True, "stored": 3, "duplicates": 0}],
}
_ERROR: Schema = {
    "type": "object",
    "required": ["success", "code", "detail", "errors"],
    "properties": {
        "success": {"type": "boolean", "const": False},
        "code": {**ref("ErrorCode"), "description": "The code of the first violation."},
        "detail": {"type": "string", "description": "A sentence for a human."},
        "errors": {
            "type": "array",
            "maxItems": MAX_VIOLATIONS,
            "description": "Every violation that has a place, in document order.",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "code": ref("ErrorCode"),
                    "pointer": {"type": "string", "description": "RFC 6901, into the body."},
                    "parameter": {"type": "string", "description": "The name of a query parameter."},
                    "detail": {"type": "string"},
                },
                "oneOf": [{"required": ["pointer"]}, {"required": ["parameter"]}],
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}

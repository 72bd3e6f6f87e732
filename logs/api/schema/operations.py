"""What the operations of the store take and answer, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from logs.api import idempotency
from logs.api.changes import DEFAULT_LIMIT, NOW
from logs.api.example import example_log
from logs.api.exceptions import error_body
from logs.api.pagination import Order
from logs.api.parsers import JSONParser, NDJSONParser, PlainTextParser
from logs.api.renderers import FORMATS, JSONRenderer, NDJSONRenderer
from logs.api.schema.components import IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_IN_QUERY, NO_NUL, Schema, ref, time_schema
from logs.lib.errors import ErrorCode, Violation
from logs.lib.limits import MAX_PAGE_CHANGES, MAX_PAGE_LOGS, MAX_WAIT
from logs.models import ActionType

JSON, LINES = JSONRenderer.media_type, NDJSONRenderer.media_type

_OF_A_QUERY = {
    ErrorCode.INVALID_TIME_FORMAT,
    ErrorCode.INVALID_ACTION_TYPE,
    ErrorCode.INVALID_CHARACTER,
    ErrorCode.UNKNOWN_PARAMETER,
    ErrorCode.INVALID_PARAMETER,
    ErrorCode.INVALID_CURSOR,
}
# A Host that is not one of ALLOWED_HOSTS is an INVALID_PARAMETER of any operation.
_OF_A_BODY = {code for code in ErrorCode if code.status == HTTPStatus.BAD_REQUEST} - {
    ErrorCode.UNKNOWN_PARAMETER,
    ErrorCode.INVALID_CURSOR,
}
_OF_EVERY_OPERATION = {
    ErrorCode.NOT_AUTHENTICATED,
    ErrorCode.INVALID_API_KEY,
    ErrorCode.PERMISSION_DENIED,
    ErrorCode.METHOD_NOT_ALLOWED,
    ErrorCode.NOT_ACCEPTABLE,
    ErrorCode.THROTTLED,
    ErrorCode.STORE_UNAVAILABLE,
}
_OF_AN_UPLOAD = {
    ErrorCode.USER_ERASED,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.IDEMPOTENCY_KEY_REUSED,
}


def without_aliases(endpoints: Sequence[tuple[Any, ...]], **kwargs: Any) -> list[tuple[Any, ...]]:
    """Leave out each URL that is another one without its last slash: a preprocessing hook of drf-spectacular."""
    paths = {path for path, *_ in endpoints}
    return [endpoint for endpoint in endpoints if f"{endpoint[0]}/" not in paths]


def describe_logs(view: type) -> type:
    """Describe LogsView."""
    return extend_schema_view(post=_append(), get=_read())(view)


def _append() -> Callable[..., Any]:
    return extend_schema(
        operation_id="appendLogs",
        summary="Append a batch of logs",
        description=(
            "All of the batch is stored, or none of it: one transaction, acknowledged once it is durable. A log of a "
            "userId and sessionId that are known gets the new actions. NDJSON holds one log a line."
        ),
        parameters=[
            _header(
                idempotency.HEADER,
                {"type": "string", "pattern": IDEMPOTENCY_KEY},
                "A repeat with the same key and body stores nothing more. Remembered for at least 24 hours.",
            ),
            OpenApiParameter(
                idempotency.PARAMETER,
                {"type": "string", "pattern": IDEMPOTENCY_KEY_IN_QUERY},
                description="The same, for a browser's sendBeacon, which can send no header. The header wins.",
            ),
            # It would name the format of the receipt.
            OpenApiParameter("format", exclude=True),
            _header(
                "Content-Encoding",
                {"type": "string", "enum": ["", "identity", "gzip", "x-gzip"]},
                "The encoding of the body; one that begins with gzip's first bytes is read as gzip without it.",
            ),
            _RETRY_AFTER,
        ],
        request={parser.media_type: ref("Batch") for parser in (JSONParser, PlainTextParser, NDJSONParser)},
        responses={
            **{(200, media_type): OpenApiResponse(ref("Receipt"), "Stored.") for media_type in (JSON, LINES)},
            **_errors(
                _OF_A_BODY | _OF_EVERY_OPERATION | _OF_AN_UPLOAD,
                Violation(ErrorCode.MISSING_USERID, pointer="/0/userId"),
            ),
        },
        auth=_auth("apiKey", "ingestKeyInQuery"),
    )


def _read() -> Callable[..., Any]:
    time = time_schema()
    as_in = f"such as `{time['examples'][0]}`"
    return extend_schema(
        operation_id="readLogs",
        summary="Read logs",
        description=(
            "Logs, oldest first, each with only its matching actions, by time; a log without one is left out. Without "
            "`limit` everything that matches is streamed from one consistent snapshot. An empty value means that the "
            "parameter is absent; one given twice, `types` aside, and one that is not named here are refused."
        ),
        parameters=[
            _USER_ID,
            _query(
                "sessionId",
                {"type": "string", "pattern": NO_NUL, "examples": [example_log()["sessionId"]]},
                "Logs of this session, exactly: any user's, unless `userId` comes too.",
            ),
            _query("from", time, f"Actions at or after this time, {as_in}."),
            _query("to", time, f"Actions at or before this time, {as_in}."),
            _TYPES,
            _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_LOGS}, "At most this many logs."),
            _query("cursor", {"type": "string"}, "Taken from the `Link` of the page before."),
            _query(
                "order",
                {"type": "string", "enum": list(Order), "default": Order.OLDEST.value},
                "The order of the logs.",
            ),
            _FORMAT,
            _header("If-None-Match", {"type": "string"}, "The ETag of an answer that the client has."),
            _header("ETag", {"type": "string"}, "Where there is a `userId`: the same while the answer is.", [200, 304]),
            _header("Link", {"type": "string"}, 'The next page, while there is one: `<URL>; rel="next"`.', [200]),
            _RETRY_AFTER,
        ],
        responses={
            (200, JSON): OpenApiResponse({"type": "array", "items": ref("Log")}, "The logs, in one array."),
            (200, LINES): OpenApiResponse(ref("Log"), "The logs, one a line."),
            304: OpenApiResponse(None, "The client has this answer already."),
            **_errors(_OF_A_QUERY | _OF_EVERY_OPERATION, Violation(ErrorCode.INVALID_TIME_FORMAT, parameter="from")),
        },
        auth=_auth("apiKey"),
    )


def describe_changes(view: type) -> type:
    """Describe ChangesView."""
    return extend_schema_view(get=_follow())(view)


def _follow() -> Callable[..., Any]:
    return extend_schema(
        operation_id="followChanges",
        summary="Follow what is stored",
        description=(
            "What was stored since a cursor: every stored action once, in an order in which nothing ever appears "
            "behind a cursor that was given out. A change is a log with the actions that it was given at one time. "
            "What was purged or erased is gone."
        ),
        parameters=[
            _query(
                "after",
                {"type": "string"},
                f"The cursor of the answer before; without it from the beginning; `{NOW}` is from now on.",
            ),
            _query(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_CHANGES, "default": DEFAULT_LIMIT},
                "At most this many actions.",
            ),
            _query(
                "wait",
                {"type": "integer", "minimum": 0, "maximum": MAX_WAIT, "default": 0},
                "Hold the request for up to so many seconds until something comes.",
            ),
            _USER_ID,
            _TYPES,
            _FORMAT,
            _RETRY_AFTER,
        ],
        responses={
            (200, JSON): OpenApiResponse(ref("Changes"), "The changes, and the cursor to go on from."),
            (200, LINES): OpenApiResponse(
                {"oneOf": [ref("Change"), ref("Position")]}, "The changes, one a line, and the cursor in the last line."
            ),
            **_errors(
                (_OF_A_QUERY - {ErrorCode.INVALID_TIME_FORMAT}) | _OF_EVERY_OPERATION,
                Violation(ErrorCode.INVALID_CURSOR, parameter="after"),
            ),
        },
        auth=_auth("apiKey"),
    )


def _query(name: str, schema: Schema, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, schema, description=description)


def _header(name: str, schema: Schema, description: str, statuses: Sequence[int] = ()) -> OpenApiParameter:
    """Return the parameter for a header of the request, or of the answers with the given statuses."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, description=description, response=list(statuses) or False
    )


_USER_ID = _query(
    "userId",
    {"type": "string", "pattern": NO_NUL, "examples": [example_log()["userId"]]},
    "Logs of this user, exactly.",
)
_TYPES = OpenApiParameter(
    "types",
    {"type": "array", "items": {"type": "string", "enum": list(ActionType.values)}},
    description="Any of these types, comma-separated; may be given more than once.",
    style="form",
    explode=False,
)
_FORMAT = _query(
    "format", {"type": "string", "enum": list(FORMATS)}, "The format of the answer, whatever `Accept` says."
)
_RETRY_AFTER = _header("Retry-After", {"type": "integer", "minimum": 0}, "In seconds.", [429, 503])


def _errors(codes: set[ErrorCode], example: Violation) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the answers with the given codes, by status. example: of those that are a 400."""
    by_status: dict[int, list[ErrorCode]] = {}
    for code in ErrorCode:
        if code in codes:
            by_status.setdefault(code.status, []).append(code)
    return {
        (status, JSON): OpenApiResponse(
            {
                "allOf": [ref("Error"), {"properties": {"code": {"enum": [code.name for code in its_codes]}}}],
                "examples": [
                    error_body(example.code, [example]) if example.code in its_codes else error_body(its_codes[0])
                ],
            },
            "\n".join(f"- `{code.name}`: {code.sentence}" for code in its_codes),
        )
        for status, its_codes in by_status.items()
    }


def _auth(*schemes: str) -> list[Any]:
    """Return OpenAPI's security requirements: any one of the schemes; in an open store also none."""
    required: list[dict[str, list[str]]] = [{scheme: []} for scheme in schemes]
    return required if settings.LOGSTORE_AUTH == "keys" else [{}, *required]

"""Every error the store answers with: its code, status and sentence; and the exception that refuses with one."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from logs.lib.limits import LOCATION_BITS, MAX_ID_LENGTH, MAX_KEY_LENGTH, MAX_PROPERTIES_BYTES, MAX_TEXT_LENGTH

_MAKE_A_KEY = "Whoever runs the store makes one: `python manage.py createapikey NAME --scope ingest|read|both`."


class ErrorCode(enum.Enum):
    """The codes of an error body, in the order of the contract, each with its status and sentence."""

    INVALID_JSON = 400, "The body is not valid JSON in UTF-8."
    NO_LOGS_PROVIDED = 400, "The body holds no logs."
    INVALID_BODY = 400, "The body must be an array of logs."
    INVALID_LOG = 400, "A log must be an object."
    MISSING_USERID = 400, "userId is required."
    MISSING_SESSIONID = 400, "sessionId is required."
    MISSING_ACTIONS = 400, "actions is required."
    INVALID_USERID = 400, f"userId must be a string of 1 to {MAX_ID_LENGTH:,} characters."
    INVALID_SESSIONID = 400, f"sessionId must be a string of 1 to {MAX_ID_LENGTH:,} characters."
    INVALID_ACTIONS = 400, "actions must be an array."
    EMPTY_ACTION = 400, "The action is empty."
    INVALID_ACTION = 400, "An action must be an object."
    MISSING_TYPE_VALUE = 400, "type is required."
    MISSING_PROPERTIES_VALUE = 400, "properties is required."
    MISSING_TIME_VALUE = 400, "time is required."
    INVALID_PROPERTIES = 400, f"properties must be an object of at most {MAX_PROPERTIES_BYTES // 1024} KiB as JSON."
    INVALID_TIME_FORMAT = 400, "A time must be a real date and time, written YYYY-MM-DDThh:mm:ss-06:00."
    INVALID_ACTION_TYPE = 400, "A type must be CLICK, VIEW or NAVIGATE."
    MISSING_LOCATION_X_VALUE = 400, "locationX is required for a CLICK."
    MISSING_LOCATION_Y_VALUE = 400, "locationY is required for a CLICK."
    MISSING_VIEWEDID_VALUE = 400, "viewedId is required for a VIEW."
    MISSING_PAGEFROM_VALUE = 400, "pageFrom is required for a NAVIGATE."
    MISSING_PAGETO_VALUE = 400, "pageTo is required for a NAVIGATE."
    INVALID_LOCATION_X_VALUE = 400, f"locationX must be a number within ±(2^{LOCATION_BITS} - 1)."
    INVALID_LOCATION_Y_VALUE = 400, f"locationY must be a number within ±(2^{LOCATION_BITS} - 1)."
    INVALID_VIEWEDID_VALUE = 400, f"viewedId must be a string of 1 to {MAX_TEXT_LENGTH:,} characters."
    INVALID_PAGEFROM_VALUE = 400, f"pageFrom must be a string of 1 to {MAX_TEXT_LENGTH:,} characters."
    INVALID_PAGETO_VALUE = 400, f"pageTo must be a string of 1 to {MAX_TEXT_LENGTH:,} characters."
    INVALID_CHARACTER = 400, "A string must not hold U+0000 or a lone surrogate."
    UNKNOWN_PARAMETER = 400, "There is no such parameter."
    INVALID_PARAMETER = 400, "The parameter has a value it can't take, or is given twice."
    INVALID_CURSOR = 400, "The cursor is not one that this store gave for this order."
    INVALID_IDEMPOTENCY_KEY = 400, f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH:,} printable ASCII characters."
    NOT_AUTHENTICATED = 401, f"An API key is needed: Authorization: Bearer KEY. {_MAKE_A_KEY}"
    INVALID_API_KEY = 401, f"The API key is unknown, revoked or expired. {_MAKE_A_KEY}"
    PERMISSION_DENIED = 403, "This is not allowed."
    USER_ERASED = 403, "This user's data was erased, and nothing more of this user is stored."
    NOT_FOUND = 404, "There is nothing at this URL."
    METHOD_NOT_ALLOWED = 405, "This URL does not take that method."
    NOT_ACCEPTABLE = 406, "This URL can't answer in a format that the request accepts."
    UNSUPPORTED_MEDIA_TYPE = (
        415,
        "The body must be application/json, text/plain or application/x-ndjson in UTF-8, as it is or gzipped.",
    )
    BODY_TOO_LARGE = 413, "The body is larger than this store takes."
    IDEMPOTENCY_KEY_REUSED = 422, "This Idempotency-Key came before with another body."
    THROTTLED = 429, "Too many requests."
    INTERNAL_ERROR = 500, "The store failed to answer; the failure is in its log."
    STORE_UNAVAILABLE = 503, "The database is away or too busy. Nothing was stored; try again."

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True)
class Violation:
    """One rule broken at one place: a JSON pointer into the body (RFC 6901), or a query parameter's name."""

    code: ErrorCode
    pointer: str | None = None
    parameter: str | None = None
    detail: str = ""

    def as_json(self) -> dict[str, str]:
        name, place = ("parameter", self.parameter) if self.pointer is None else ("pointer", self.pointer)
        return {"code": self.code.name, name: place or "", "detail": self.detail or self.code.sentence}


class LogStoreError(Exception):
    """A refusal with a code of the contract.

    violations: the broken rules in document order, when they have places; the first one's code is then the answer's.
    """

    def __init__(self, code: ErrorCode, detail: str = "", violations: Sequence[Violation] = ()) -> None:
        self.code = code
        self.detail = detail or code.sentence
        self.violations = violations
        super().__init__(self.detail)

    @classmethod
    def from_violations(cls, violations: Sequence[Violation]) -> LogStoreError:
        first = violations[0]
        return cls(first.code, first.detail, violations)


def json_pointer(place: Sequence[str | int]) -> str:
    """Return the RFC 6901 pointer to a place, given as the names and indexes that lead there."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in place)

"""How each exception is answered: the contract's error body, for the API's views and for what Django refuses itself."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence

from django.conf import settings
from django.core.exceptions import DisallowedHost, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import Error as DatabaseError
from django.http import Http404, HttpRequest, JsonResponse, UnreadablePostError
from rest_framework import exceptions

from logs.api.violations import first_error, violations
from logs.lib import metrics
from logs.lib.database import NOT_MIGRATED, is_about_nul, is_unavailable, kind_of, lacks_migrations
from logs.lib.errors import ErrorCode, LogStoreError, Violation
from logs.lib.limits import MAX_VIOLATIONS

RETRY_AFTER_SECONDS = 5

logger = logging.getLogger(__name__)


def error_response(
    code: ErrorCode, detail: str = "", violations: Sequence[Violation] = (), headers: Mapping[str, str] | None = None
) -> JsonResponse:
    """Return the contract's error body.

    detail: a sentence for people, the code's own where there is none.
    violations: in document order; the answer lists the first MAX_VIOLATIONS of them.
    headers: beside WWW-Authenticate, which every 401 has, and Retry-After, which every STORE_UNAVAILABLE has.
    """
    metrics.REFUSALS.labels(code.name).inc()
    headers = dict(headers or {})
    if code is ErrorCode.STORE_UNAVAILABLE:
        headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    if code.status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return JsonResponse(error_body(code, violations, detail), status=code.status, headers=headers)


def error_body(code: ErrorCode, violations: Sequence[Violation] = (), detail: str = "") -> dict[str, object]:
    """Return the value of the contract's error body; its arguments are those of error_response."""
    return {
        "success": False,
        "code": code.name,
        "detail": detail or code.sentence,
        "errors": [violation.as_json() for violation in violations[:MAX_VIOLATIONS]],
    }


def answer_exception(error: Exception, context: object = None) -> JsonResponse | None:
    """Return the answer to an exception, None to one that is a fault of ours.

    Django REST Framework's EXCEPTION_HANDLER, also called for what is raised outside its views.

    error: from a view, a parser, a serializer, the database or Django.
    context: the view and the request, of which the answer says nothing.
    """
    match error:
        # The store's own refusals, and those of its serializers.
        case LogStoreError():
            return error_response(error.code, error.detail, error.violations)
        case exceptions.ValidationError():
            first = first_error(error.detail)
            return error_response(ErrorCode[str(first.code)], str(first), list(violations(error.detail)))

        # The database's errors.
        case DatabaseError() if is_unavailable(error) or lacks_migrations(error):
            metrics.DATABASE_ERRORS.labels(type(error).__name__).inc()
            reason = NOT_MIGRATED if lacks_migrations(error) else ""
            logger.error(reason or f"database unavailable: {kind_of(error)}")
            return error_response(ErrorCode.STORE_UNAVAILABLE, reason)
        case ValueError() if is_about_nul(error):
            return error_response(ErrorCode.INVALID_CHARACTER)

        # Django REST Framework's refusals.
        case Http404() | exceptions.NotFound():
            return error_response(ErrorCode.NOT_FOUND)
        case exceptions.MethodNotAllowed():
            return error_response(ErrorCode.METHOD_NOT_ALLOWED)
        case exceptions.NotAcceptable():
            return error_response(ErrorCode.NOT_ACCEPTABLE)
        case exceptions.UnsupportedMediaType():
            return error_response(ErrorCode.UNSUPPORTED_MEDIA_TYPE)
        case exceptions.Throttled():
            return error_response(
                ErrorCode.THROTTLED, headers={"Retry-After": str(int(getattr(error, "wait", None) or 1))}
            )
        case PermissionDenied() | exceptions.PermissionDenied():
            return error_response(ErrorCode.PERMISSION_DENIED)

        # Django's refusals, the special ones first.
        case UnreadablePostError():
            return error_response(ErrorCode.INVALID_JSON, "The body broke off.")
        case DisallowedHost():
            return error_response(ErrorCode.INVALID_PARAMETER, "The Host header is not one of ALLOWED_HOSTS.")
        case RequestDataTooBig():
            limit = f"{settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,}"
            return error_response(ErrorCode.BODY_TOO_LARGE, f"The body is larger than the {limit} bytes of a form.")
        case SuspiciousOperation():
            return error_response(ErrorCode.INVALID_PARAMETER)
        case _:
            return None


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer what Django refuses before any view is asked, such as a Host that is not ours: its handler400."""
    return answer_exception(exception) or error_response(ErrorCode.INVALID_PARAMETER)


def permission_denied(request: HttpRequest, exception: Exception | None = None, reason: str = "") -> JsonResponse:
    """Answer a 403 from outside the API: Django's handler403, and its CSRF_FAILURE_VIEW."""
    return error_response(ErrorCode.PERMISSION_DENIED)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer a URL where there is nothing: Django's handler404."""
    return error_response(ErrorCode.NOT_FOUND)


def server_error(request: HttpRequest) -> JsonResponse:
    """Answer an exception that nothing else answered; only the log says what it was: Django's handler500."""
    error = sys.exc_info()[1]
    answer = answer_exception(error) if isinstance(error, Exception) else None
    if answer is None and isinstance(error, DatabaseError):
        metrics.DATABASE_ERRORS.labels(type(error).__name__).inc()
    return answer or error_response(ErrorCode.INTERNAL_ERROR)

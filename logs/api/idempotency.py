"""Idempotency keys: which batch came before, so that a repeat stores nothing more.

After https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from rest_framework.request import Request

from logs.api.bodies import Body
from logs.lib.errors import ErrorCode, LogStoreError, Violation
from logs.lib.limits import MAX_KEY_LENGTH
from logs.models import ErasedUser, IdempotencyKey

HEADER, PARAMETER = "Idempotency-Key", "idempotencyKey"
REMEMBERED_FOR = timedelta(hours=24)
_FORGOTTEN_AT_ONCE = 100

_is_key = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_LENGTH}}}").fullmatch


@dataclass(frozen=True)
class IdempotencyToken:
    """What makes a repeat of a batch known.

    owner: the id of the API key that sent it, "" in an open store.
    key: the text of the header, or of the parameter.
    body_digest: the SHA-256 of the decompressed body, in hexadecimal.
    """

    owner: str
    key: str
    body_digest: str

    def remember(self, action_count: int) -> int | None:
        """Remember a new key within the batch's transaction and return None; return what recall() does for a known one.

        Waits for a transaction that is about to remember the same key. Forgets a few keys that are old enough.
        """
        known, is_new = IdempotencyKey.objects.get_or_create(
            owner=self.owner,
            key=self.key,
            defaults={"body_digest": self.body_digest, "action_count": action_count},
        )
        if not is_new:
            return _count_of_same_body(known, self)
        forget_old_keys()
        return None


def token_of(request: Request, body: Body | None) -> IdempotencyToken | None:
    """Return the token of a request with its body, None where it has no key.

    The key is that of the header or, where a browser's sendBeacon could send none, of `?idempotencyKey=KEY`.
    Raises LogStoreError for a key that is not 1 to MAX_KEY_LENGTH printable ASCII characters.
    """
    in_header = request.headers.get(HEADER)
    key = request.query_params.get(PARAMETER) if in_header is None else in_header
    if key is None:
        return None
    if not _is_key(key):
        if in_header is None:
            raise LogStoreError.from_violations([Violation(ErrorCode.INVALID_IDEMPOTENCY_KEY, parameter=PARAMETER)])
        raise LogStoreError(ErrorCode.INVALID_IDEMPOTENCY_KEY)
    owner = "" if request.auth is None else str(request.auth.pk)
    return IdempotencyToken(owner, key, "" if body is None else body.digest)


def recall(token: IdempotencyToken) -> int | None:
    """Return how many actions came before under the token's key, if the body need not be looked at; otherwise None.

    None for a key that is new, and where somebody was erased since: the repeat may name that user.
    Raises LogStoreError when the key came with another body.
    """
    since = ErasedUser.objects.filter(time__gte=OuterRef("created"))
    known = IdempotencyKey.objects.filter(owner=token.owner, key=token.key).annotate(is_doubtful=Exists(since)).first()
    if known is None:
        return None
    count = _count_of_same_body(known, token)
    return None if known.is_doubtful else count


def _count_of_same_body(known: IdempotencyKey, token: IdempotencyToken) -> int:
    if known.body_digest != token.body_digest:
        raise LogStoreError(ErrorCode.IDEMPOTENCY_KEY_REUSED)
    return known.action_count


def old_keys() -> QuerySet[IdempotencyKey]:
    """Return the keys that may be forgotten."""
    return IdempotencyKey.objects.filter(created__lt=timezone.now() - REMEMBERED_FOR)


def forget_old_keys() -> int:
    """Delete a few keys that are old enough, in the transaction that is open, and return how many they were."""
    old = old_keys()
    # Skipping what another batch is forgetting: nobody waits for it.
    ids = old.select_for_update(skip_locked=True).values_list("id", flat=True)[:_FORGOTTEN_AT_ONCE]
    deleted, _ = IdempotencyKey.objects.filter(id__in=list(ids)).delete()
    return deleted

"""Cursors: the place after one log in one order, signed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.core import signing

from logs.store.read import IdRange

_signer = signing.Signer(salt="logs.cursor")


class Order(StrEnum):
    """The order of an answer's logs, by when they were first stored."""

    OLDEST = "oldest"
    NEWEST = "newest"


@dataclass(frozen=True)
class Cursor:
    """The place after one log in one order."""

    order: Order
    log_id: int

    @property
    def rest(self) -> IdRange:
        """The ids of the logs behind that place."""
        return IdRange(last=self.log_id - 1) if self.order is Order.NEWEST else IdRange(first=self.log_id + 1)

    def encode(self) -> str:
        """Return the text that a client sends back."""
        return _signer.sign_object([self.order, self.log_id])

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Return the cursor that encode() wrote. Raises ValueError for any other text."""
        try:
            order, log_id = _signer.unsign_object(text)
        except signing.BadSignature:
            raise ValueError("not a cursor of this store") from None
        return cls(Order(order), log_id)

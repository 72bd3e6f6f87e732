"""The limits of what the store takes, each spelled once and formatted into the sentences that name it."""

from __future__ import annotations

# In characters: a user's or session's id, an idempotency key, and viewedId, pageFrom and pageTo.
MAX_ID_LENGTH = 255
MAX_KEY_LENGTH = 255
MAX_TEXT_LENGTH = 2048
# Of properties, in bytes of compact JSON in UTF-8.
MAX_PROPERTIES_BYTES = 32 * 1024
# The integers that every client can tell apart: ±(2^53 - 1).
LOCATION_BITS = 53
MAX_LOCATION = 2**LOCATION_BITS - 1
# How deep a body may be nested.
MAX_DEPTH = 64
# How many violations an error lists, how many logs a page holds, and how many actions a page of changes.
MAX_VIOLATIONS = 100
MAX_PAGE_LOGS = 10_000
MAX_PAGE_CHANGES = 10_000
# For how long a request may wait for changes, in seconds.
MAX_WAIT = 60

"""Gzipped bodies: every trick that a compressed stream allows costs its sender more than the store."""

from __future__ import annotations

import gzip
import json
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.builders import a_log, refusal, stored_actions

pytestmark = pytest.mark.django_db

TEXT = json.dumps([a_log()]).encode()
MEMBER = gzip.compress(TEXT)
EMPTY_MEMBER = gzip.compress(b"")
MEGABYTE = 1024 * 1024


@pytest.fixture(params=[{"Content-Encoding": "gzip"}, {}], ids=["with the header", "known by its first bytes"])
def send(request: pytest.FixtureRequest, post_bytes: Callable[..., Any]) -> Callable[[bytes], Any]:
    return lambda body: post_bytes(body, **request.param)


def with_empty_blocks(count: int) -> bytes:
    """A member that holds nothing in a number of stored blocks, of five bytes each."""
    return EMPTY_MEMBER[:10] + b"\0\0\0\xff\xff" * count + b"\1\0\0\xff\xff" + b"\0" * 8


def with_comment(size: int) -> bytes:
    """A member whose head holds a comment."""
    return b"\x1f\x8b\x08\x10" + b"\0" * 6 + b"c" * size + b"\0" + MEMBER[10:]


REFUSED = {
    "zeros behind a member": MEMBER + b"\0" * 4 * MEGABYTE,
    "one zero behind a member": MEMBER + b"\0",
    "zeros alone": b"\0" * 4 * MEGABYTE,
    "garbage behind a member": MEMBER + b"garbage" * MEGABYTE,
    "empty members": EMPTY_MEMBER * (4 * MEGABYTE // len(EMPTY_MEMBER)),
    "a member and empty ones": MEMBER + EMPTY_MEMBER * 10_000,
    "broken off in the second member": gzip.compress(TEXT[:40]) + gzip.compress(TEXT[40:])[:-12],
    "broken off in the head of the second member": MEMBER + MEMBER[:7],
    "broken off in the checksum of the second member": MEMBER + EMPTY_MEMBER[:-1],
    "wrong length": MEMBER[:-4] + struct.pack("<I", len(TEXT) + 1),
    "deflate without gzip": zlib.compress(TEXT),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_is_not_gzip_to_its_last_byte_is_refused_at_once(send, body):
    start = time.thread_time()
    assert refusal(send(body)) == (400, "INVALID_JSON")
    assert time.thread_time() - start < 1
    assert stored_actions() == 0


@pytest.mark.parametrize(
    "body",
    [
        EMPTY_MEMBER + MEMBER,
        MEMBER + EMPTY_MEMBER,
        b"".join(gzip.compress(TEXT[at : at + 1]) for at in range(len(TEXT))),
        MEMBER + EMPTY_MEMBER * 9_999,
        with_comment(20_000),
        with_empty_blocks(10_000) + MEMBER,
    ],
    ids=["empty before", "empty behind", "a member a byte", "ten thousand members", "comment", "empty blocks"],
)
def test_several_members_are_one_body(send, body):
    answer = send(body)
    assert (answer.status_code, answer.json()["stored"]) == (200, 3)


WIRE_BYTES_FOR_NOTHING = {
    "empty blocks": with_empty_blocks(20_000),
    "comment": with_comment(100_000),
    "blocks without compression": gzip.compress(b" " * 100_000, compresslevel=0),
}


@pytest.mark.parametrize("body", WIRE_BYTES_FOR_NOTHING.values(), ids=WIRE_BYTES_FOR_NOTHING)
def test_more_bytes_on_the_wire_than_a_body_may_need_are_refused(send, settings, body):
    settings.LOGSTORE_MAX_BODY_BYTES = 10_000
    assert refusal(send(body)) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("size", [len(TEXT), 3 * MEGABYTE])
def test_a_body_is_counted_to_the_byte_after_decompression(send, settings, size, level):
    body = TEXT + b" " * (size - len(TEXT))
    settings.LOGSTORE_MAX_BODY_BYTES = size
    assert send(gzip.compress(body, level)).status_code == 200
    assert refusal(send(gzip.compress(body + b" ", level))) == (413, "BODY_TOO_LARGE")
    assert refusal(send(gzip.compress(body, level) + gzip.compress(b" "))) == (413, "BODY_TOO_LARGE")
    assert stored_actions() == 3


def test_what_cannot_be_compressed_may_be_as_large_as_the_limit(send, settings):
    """Gzip makes it longer than it is."""
    body = json.dumps([a_log()]).encode() + bytes(range(256)) * 400
    settings.LOGSTORE_MAX_BODY_BYTES = len(body)
    assert refusal(send(gzip.compress(body, 0))) == (400, "INVALID_JSON")


# --- Without the header ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-ndjson"])
def test_a_body_of_any_type_is_known_for_gzip_by_its_first_bytes(post_bytes, content_type):
    text = TEXT[1:-1] if content_type == "application/x-ndjson" else TEXT
    answer = post_bytes(gzip.compress(text), content_type)
    assert (answer.status_code, answer.json()["stored"]) == (200, 3)


@pytest.mark.parametrize("first", [b"\x1f", b"\x8b\x1f", b"\x1f\x8a", b"[\x1f\x8b", b" \x1f\x8b"], ids=ascii)
def test_a_body_with_other_first_bytes_is_not_gzip(post_bytes, first):
    answer = post_bytes(first + MEMBER[2:])
    assert refusal(answer) == (400, "INVALID_JSON")
    assert "gzip" not in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"\x1f\x8b", MEMBER[:-1], MEMBER[:2] + TEXT])
def test_a_stream_that_breaks_after_its_first_bytes_is_refused_as_one(post_bytes, body):
    answer = post_bytes(body)
    assert refusal(answer) == (400, "INVALID_JSON")
    assert "gzip" in answer.json()["detail"]


def test_a_header_that_says_otherwise_is_believed(post_bytes):
    assert refusal(post_bytes(MEMBER, **{"Content-Encoding": "identity"})) == (400, "INVALID_JSON")


def test_what_is_not_gzip_has_the_limit_of_a_body_on_the_wire(post_bytes, settings):
    settings.LOGSTORE_MAX_BODY_BYTES = len(TEXT)
    assert post_bytes(TEXT).status_code == 200
    assert refusal(post_bytes(TEXT + b" ")) == (413, "BODY_TOO_LARGE")

"""Pages over logs: limit, cursor, order and the Link to the next page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core import signing

from tests.builders import a_click, a_log, a_view, places, refusal, some_logs
from tests.conftest import decoded

pytestmark = pytest.mark.django_db


def next_address(answer) -> str | None:
    """The address in the Link header, which must have the form of the contract."""
    if "Link" not in answer.headers:
        return None
    return re.fullmatch(r'<(http://testserver/[^>]*)>; rel="next"', answer.headers["Link"])[1]


def pages_of(client, address: str, between=lambda: None) -> Iterator[list[Any]]:
    """The pages from an address on, each as its logs; between: called after each page."""
    while address is not None:
        answer = client.get(address)
        assert answer.status_code == 200, answer.content
        yield decoded(answer)
        address = next_address(answer)
        between()


def cursor_of(client, address: str) -> str:
    return parse_qs(urlsplit(next_address(client.get(address))).query)["cursor"][0]


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("limit, sizes", [(1, [1] * 5), (2, [2, 2, 1]), (4, [4, 1]), (5, [5]), (6, [5]), (10_000, [5])])
def test_pages_hold_every_log_once_in_order(client, post, get, order, limit, sizes):
    post(some_logs(5))
    pages = list(pages_of(client, f"/logs/?limit={limit}&order={order}"))
    assert [len(page) for page in pages] == sizes
    assert [log for page in pages for log in page] == get(order=order)


def test_the_last_page_has_no_link(client, post):
    post(some_logs(2))
    assert "Link" not in client.get("/logs/?limit=2").headers


def test_the_link_has_the_cursor_as_it_is_so_that_it_can_be_cut_out(client, post):
    post(some_logs(2))
    cursor = next_address(client.get("/logs/?limit=1")).partition("cursor=")[2]
    assert decoded(client.get("/logs/", {"limit": 1, "cursor": cursor})) == some_logs(2)[1:]


def test_an_answer_without_limit_has_no_link(client, post):
    post(some_logs(2))
    assert "Link" not in client.get("/logs/").headers


def test_limit_counts_logs_not_actions(client, post):
    batch = some_logs(2, a_click(), a_view(), a_view())
    post(batch)
    assert list(pages_of(client, "/logs/?limit=1")) == [batch[:1], batch[1:]]


def test_limit_counts_only_logs_that_match(client, post):
    post([a_log(a_view() if number % 3 else a_click(), user=str(number)) for number in range(10)])
    pages = [[log["userId"] for log in page] for page in pages_of(client, "/logs/?limit=2&types=CLICK")]
    assert pages == [["0", "3"], ["6", "9"]]


def test_the_link_keeps_the_filters(client, post, settings):
    settings.LOGSTORE_ANY_OFFSET = True
    post([a_log(a_view(), a_click(), user="a&b=c é+", session=str(number)) for number in range(3)])
    post(some_logs(3))
    window = "from=2018-10-18T21:37:28-06:00&to=2018-10-19T04:37:28+01:00"
    address = f"/logs?userId=a%26b%3Dc+%C3%A9%2B&types=VIEW&types=NAVIGATE&limit=2&{window}"
    pages = list(pages_of(client, address))
    assert [[log["sessionId"] for log in page] for page in pages] == [["0", "1"], ["2"]]
    assert {action["type"] for page in pages for log in page for action in log["actions"]} == {"VIEW"}
    assert next_address(client.get(address)).startswith("http://testserver/logs?")


def test_pages_may_be_lines(client, post):
    post(some_logs(3))
    first = client.get("/logs/?limit=2&format=ndjson")
    second = client.get(next_address(first))
    assert (first.getvalue().count(b"\n"), second.getvalue().count(b"\n")) == (2, 1)


@pytest.mark.parametrize("limit", ["", "&limit=2"], ids=["to the end", "another limit"])
def test_a_cursor_may_come_with_another_limit(client, post, limit):
    post(some_logs(6))
    answer = client.get(f"/logs/?cursor={cursor_of(client, '/logs/?limit=3')}{limit}")
    assert [log["userId"] for log in decoded(answer)] == (["3", "4"] if limit else ["3", "4", "5"])


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_pages_neither_repeat_nor_skip_while_others_write(client, post, get, order):
    post([a_log(a_view(), user=f"old {number}") for number in range(7)])
    there = [log["userId"] for log in get(order=order)]
    written = iter(range(100))

    def write() -> None:
        number = next(written)
        # A new log, and more of one that is there.
        post([a_log(a_view(), user=f"new {number}"), a_log(a_view(), user=f"old {number % 7}")])

    seen = []
    for page in pages_of(client, f"/logs/?limit=2&order={order}", write):
        seen += [log["userId"] for log in page]
        if len(seen) > 20:
            break
    assert len(seen) == len(set(seen))
    assert [user for user in seen if user.startswith("old")] == there


def test_newest_first_never_shows_what_came_after_the_first_page(client, post):
    post(some_logs(4))
    pages = list(pages_of(client, "/logs/?limit=2&order=newest", lambda: post([a_log(user="new")])))
    assert [[log["userId"] for log in page] for page in pages] == [["3", "2"], ["1", "0"]]


def test_an_altered_cursor_is_refused(client, post):
    post(some_logs(3))
    cursor = cursor_of(client, "/logs/?limit=1")
    for place in range(len(cursor)):
        altered = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        answer = client.get("/logs/", {"limit": "1", "cursor": altered})
        assert refusal(answer) == (400, "INVALID_CURSOR")
        assert places(answer) == [("INVALID_CURSOR", "cursor")]


@pytest.mark.parametrize("change", ["{}x", "x{}", " {}", "{} ", "{}=", "{0}{0}", "{0}\0"], ids=ascii)
def test_a_cursor_with_more_around_it_is_refused(client, post, change):
    post(some_logs(3))
    cursor = change.format(cursor_of(client, "/logs/?limit=1"))
    assert refusal(client.get("/logs/", {"cursor": cursor})) == (400, "INVALID_CURSOR")


@pytest.mark.parametrize("cursor", ["1", "x", ":", "::", "é", "WyJvbGRlc3QiLDFd", "WyJvbGRlc3QiLDFd:", "x" * 5_000])
def test_what_is_no_cursor_is_refused(client, cursor):
    assert refusal(client.get("/logs/", {"cursor": cursor})) == (400, "INVALID_CURSOR")


def test_a_value_signed_for_another_purpose_is_no_cursor(client):
    cursor = signing.Signer().sign_object(["oldest", 1])
    assert refusal(client.get("/logs/", {"cursor": cursor})) == (400, "INVALID_CURSOR")


@pytest.mark.parametrize("given, asked", [("oldest", "newest"), ("newest", "oldest"), ("newest", "")])
def test_a_cursor_of_another_order_is_refused(client, post, given, asked):
    post(some_logs(3))
    cursor = cursor_of(client, f"/logs/?limit=1&order={given}")
    assert refusal(client.get("/logs/", {"limit": "1", "cursor": cursor, "order": asked})) == (400, "INVALID_CURSOR")


def test_a_cursor_of_the_default_order_is_one_of_oldest(client, post):
    post(some_logs(2))
    cursor = cursor_of(client, "/logs/?limit=1")
    assert client.get("/logs/", {"cursor": cursor, "order": "oldest"}).status_code == 200


def test_one_users_logs_come_in_pages(client, post):
    batch = [a_log(a_view(), user=user, session=session) for session in "123" for user in "ab"]
    post(batch)
    pages = [[log["sessionId"] for log in page] for page in pages_of(client, "/logs/?limit=2&userId=b")]
    assert pages == [["1", "2"], ["3"]]


def test_pages_of_a_session_neither_repeat_nor_skip(client, post):
    post([a_log(user=str(user), session=str(user % 2)) for user in range(9)])
    pages = [[log["userId"] for log in page] for page in pages_of(client, "/logs/?limit=2&sessionId=1")]
    assert pages == [["1", "3"], ["5", "7"]]

"""ETags of a user's answers, and 304 for as long as the answer is unchanged."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from logs.api.query import LogQuery
from tests.builders import a_click, a_log, a_view, at_once, refusal, some_logs, store_logs
from tests.conftest import decoded

pytestmark = pytest.mark.django_db

ADDRESS = "/logs/?userId=u"


@pytest.fixture(autouse=True)
def a_users_log(post):
    post([a_log(user="u"), a_log(user="other")])


def etag(client, address: str = ADDRESS, **headers: str) -> str:
    answer = client.get(address, headers=headers)
    answer.getvalue()
    return answer.headers["ETag"]


def status_with(client, known: str, address: str = ADDRESS, **headers: str) -> int:
    answer = client.get(address, headers={"If-None-Match": known, **headers})
    answer.getvalue()
    return answer.status_code


def test_an_answer_about_a_user_carries_an_etag(client):
    assert etag(client).startswith('W/"')


@pytest.mark.parametrize("address", ["/logs/", "/logs/?types=VIEW", "/logs/?userId="])
def test_an_answer_about_everybody_carries_none(client, address):
    assert "ETag" not in client.get(address).headers


def test_an_unchanged_answer_is_304_without_a_body(client):
    known = etag(client)
    answer = client.get(ADDRESS, headers={"If-None-Match": known})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == known


def test_etags_are_compared_weakly(client):
    assert status_with(client, etag(client).removeprefix("W/")) == 304


def test_one_of_many_etags_is_enough(client):
    assert status_with(client, f'"a", W/"b,c", {etag(client)}') == 304


def test_a_star_is_any_etag(client):
    assert status_with(client, "*") == 304


@pytest.mark.parametrize("known", ['"other"', 'W/"other"', "other", "", "W/", '"', ",", "é", '"*"', "x" * 5_000])
def test_another_etag_gets_the_answer(client, known):
    assert status_with(client, known) == 200


def test_an_append_changes_the_etag(client, post):
    known = etag(client)
    post([a_log(a_click(), user="u")])
    assert status_with(client, known) == 200
    assert etag(client) != known


def test_a_new_log_of_the_user_changes_the_etag(client, post):
    known = etag(client)
    post([a_log(user="u", session="new")])
    assert status_with(client, known) == 200


def test_the_first_log_of_a_user_changes_the_etag(client, post):
    known = etag(client, "/logs/?userId=new")
    assert status_with(client, known, "/logs/?userId=new") == 304
    post([a_log(user="new")])
    assert status_with(client, known, "/logs/?userId=new") == 200


def test_an_append_for_another_user_leaves_the_etag(client, post):
    known = etag(client)
    post([a_log(user="other"), *some_logs(3)])
    assert status_with(client, known) == 304


def test_a_refused_batch_leaves_the_etag(client, post):
    known = etag(client)
    assert refusal(post([a_log(user="u"), None])) == (400, "INVALID_LOG")
    assert status_with(client, known) == 304


def test_a_repeat_under_a_key_leaves_the_etag(client, post):
    post([a_log(user="u")], headers={"Idempotency-Key": "k"})
    known = etag(client)
    post([a_log(user="u")], headers={"Idempotency-Key": "k"})
    assert status_with(client, known) == 304


@pytest.mark.parametrize(
    "other",
    ["&types=VIEW", "&limit=1", "&order=newest", "&format=ndjson", "&from=2018-10-18T21:37:28-06:00",
     "&to=2018-10-18T21:37:28-06:00"],
)  # fmt: skip
def test_another_question_has_another_etag(client, other):
    assert etag(client, ADDRESS + other) != etag(client)


def test_a_window_from_a_time_is_not_one_to_it(client):
    assert etag(client, ADDRESS + "&from=2018-10-18T21:37:28-06:00") != etag(
        client, ADDRESS + "&to=2018-10-18T21:37:28-06:00"
    )


def test_lines_have_another_etag_than_an_array(client):
    assert etag(client, Accept="application/x-ndjson") != etag(client)
    assert "Accept" in client.get(ADDRESS).headers["Vary"]


def test_the_same_question_in_other_words_has_the_same_etag(client):
    assert etag(client, "/logs?order=oldest&userId=%75&limit=&types=") == etag(client)


def test_a_gzipped_answer_is_unchanged_under_the_same_etag(client, post):
    post([a_log(*[a_view()] * 50, user="u")])
    answer = client.get(ADDRESS, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert status_with(client, answer.headers["ETag"]) == 304


def test_a_page_of_a_users_logs_is_304_until_something_follows_it(client, post):
    address = ADDRESS + "&limit=1"
    known = etag(client, address)
    assert status_with(client, known, address) == 304
    post([a_log(user="u", session="later")])
    answer = client.get(address, headers={"If-None-Match": known})
    assert answer.status_code == 200
    assert "Link" in answer.headers


def test_a_long_answer_is_304_too(client, post):
    post([a_log(*[a_view()] * 3_000, user="u")])
    assert status_with(client, etag(client)) == 304


def test_head_is_304_too(client):
    known = client.head(ADDRESS).headers["ETag"]
    assert known == etag(client)
    assert client.head(ADDRESS, headers={"If-None-Match": known}).status_code == 304


def test_a_bad_query_is_refused_whatever_is_known(client):
    answer = client.get(ADDRESS + "&types=NO", headers={"If-None-Match": "*"})
    assert refusal(answer) == (400, "INVALID_ACTION_TYPE")


def test_a_cache_must_ask_again(client):
    assert client.get(ADDRESS).headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("limit", ["", "&limit=1"], ids=["long", "page"])
@pytest.mark.django_db(transaction=True)
def test_an_etag_belongs_to_the_body_whatever_is_written_between_them(client, monkeypatch, limit):
    """A batch is stored when an answer's logs have been chosen, and before its actions are read."""
    store_logs(a_log(*[a_view()] * 3_000, user="u"))
    before = client.get(ADDRESS + limit)
    body, known = decoded(before), before.headers["ETag"]
    choose = LogQuery.page

    def choose_and_write(query):
        page = choose(query)
        at_once([lambda: store_logs(a_log(a_click(), user="u"))])
        return page

    with monkeypatch.context() as patch:
        patch.setattr(LogQuery, "page", choose_and_write)
        answer = client.get(ADDRESS + limit)
        assert (answer.headers["ETag"], decoded(answer)) == (known, body)
    after = client.get(ADDRESS + limit)
    assert after.headers["ETag"] != known
    assert len(decoded(after)[0]["actions"]) == len(body[0]["actions"]) + 1


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_a_page_costs_a_page_however_many_logs_its_user_has(client, order):
    store_logs(*[a_log(a_view(), user="many", session=str(number)) for number in range(20_000)])
    page = LogQuery(f"userId=many&limit=1&order={order}").page()
    assert len(page.versions) == 1
    addresses = [f"/logs/?userId={user}&limit=1&order={order}" for user in ("u", "many")]
    counts = []
    for address in addresses:
        with CaptureQueriesContext(connection) as seen:
            assert len(decoded(client.get(address))) == 1
        counts.append(len(seen))
    assert counts[0] == counts[1] <= 4


def test_a_paged_answer_is_304_without_reading_its_actions(client, post):
    post([a_log(user="u", session=str(number)) for number in range(3)])
    address = ADDRESS + "&limit=2"
    known = etag(client, address)
    with CaptureQueriesContext(connection) as seen:
        answer = client.get(address, headers={"If-None-Match": known})
    assert (answer.status_code, answer.content) == (304, b"")
    assert sum("logs_action" in query["sql"] and "properties" in query["sql"] for query in seen) == 0

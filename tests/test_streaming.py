"""An answer of any length: streamed from one snapshot, in memory that does not grow, gzipped for those who like it."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest
from django.db import connection
from django.test import Client

from tests.builders import a_click, a_log, a_view, at_once, stored_actions

MANY = 6_000


def many_actions(count: int = MANY) -> list[dict]:
    return [a_view(viewed_id=str(number), other="x" * 100) for number in range(count)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", ["/logs/", "/logs/?userId=u", "/logs/?limit=1", "/logs/?order=newest&types=VIEW"])
def test_what_is_written_during_an_answer_is_not_in_it(client, post, url):
    batch = [a_log(*many_actions(), user="u")]
    post(batch)
    chunks = iter(client.get(url))
    start = next(chunks)
    later = [a_log(a_click(), a_view(), user="u"), a_log(user="new")]
    (answer,) = at_once([lambda: Client().post("/logs/", later, content_type="application/json")])
    assert answer.status_code == 200
    assert json.loads(start + b"".join(chunks)) == batch
    assert stored_actions() == MANY + 5


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_is_left_ends_its_snapshot(client, post):
    post([a_log(*many_actions())])
    answer = client.get("/logs/")
    next(iter(answer))
    answer.close()
    assert connection.get_autocommit()
    assert post([a_log(a_click(), user="new")]).status_code == 200
    assert stored_actions() == MANY + 1


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_was_read_ends_its_snapshot(client, post):
    post([a_log(*many_actions())])
    client.get("/logs/").getvalue()
    client.head("/logs/").close()
    assert connection.get_autocommit()
    assert post([a_log(a_click(), user="new")]).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("parameters", [{}, {"limit": "10000"}, {"userId": "u"}, {"format": "ndjson"}], ids=str)
def test_memory_does_not_grow_with_the_answer(client, post, parameters):
    def peak_and_size() -> tuple[int, int]:
        tracemalloc.start()
        try:
            size = sum(len(chunk) for chunk in client.get("/logs/", parameters))
            return tracemalloc.get_traced_memory()[1], size
        finally:
            tracemalloc.stop()

    post([a_log(*many_actions(4_000), user="u")])
    peak_and_size()
    small_peak, small_size = peak_and_size()
    for number in range(4):
        post([a_log(*many_actions(4_000), user="u", session=str(number))])
    large_peak, large_size = peak_and_size()
    assert large_size > 4 * small_size
    assert large_peak < 1.3 * small_peak


@pytest.mark.django_db(transaction=True)
def test_postgresql_hands_the_rows_over_little_by_little(client, post):
    if connection.vendor != "postgresql":
        pytest.skip("of PostgreSQL's cursors alone")
    post([a_log(*many_actions())])
    answer = client.get("/logs/")
    next(iter(answer))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE NOT is_holdable")
        assert cursor.fetchone() == (1,)
    answer.close()


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1_999, 2_000, 2_001, 4_000])
@pytest.mark.parametrize("user", ["", "u"], ids=["everybody", "one user"])
def test_nothing_is_lost_where_rows_are_fetched_anew(get, post, count, user):
    batch = [a_log(*many_actions(count), user="u")]
    post(batch)
    assert get(userId=user) == batch


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["/logs/", "/logs/?userId=u", "/logs/?limit=5", "/logs/?format=ndjson"])
def test_an_answer_is_gzipped_for_those_who_accept_it(client, post, url):
    post([a_log(*many_actions(), user="u")])
    plain = client.get(url)
    packed = client.get(url, headers={"Accept-Encoding": "br, gzip;q=0.8"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert gzip.decompress(packed.getvalue()) == plain.getvalue()
    assert "Content-Encoding" not in plain.headers


@pytest.mark.django_db
@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0", "GZIP; q=0.0", "br, gzip;q=0, *"])
def test_an_answer_is_not_gzipped_for_those_who_do_not(client, post, accepted):
    post([a_log(*many_actions())])
    answer = client.get("/logs/", headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in answer.headers
    assert answer.getvalue().startswith(b"[")


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["/logs/", "/logs", "/logs/?userId=u", "/logs/?limit=1", "/logs/?format=ndjson"])
def test_head_answers_like_get_without_a_body(client, post, url):
    post([a_log(user="u"), a_log(user="u", session="2")])
    got, headed = client.get(url), client.head(url)
    assert (headed.status_code, headed.getvalue()) == (200, b"")
    for name in ("Content-Type", "ETag", "Link", "Cache-Control"):
        assert headed.headers.get(name) == got.headers.get(name)


@pytest.mark.django_db
@pytest.mark.parametrize("query, code", [("types=NO", 400), ("x=1", 400), ("userId=%00", 400)])
def test_head_refuses_what_get_refuses(client, query, code):
    assert client.head(f"/logs/?{query}").status_code == code

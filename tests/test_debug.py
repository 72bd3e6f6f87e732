"""With DEBUG on, where Django keeps and prints every query, the API does what it does without."""

from __future__ import annotations

import json

import pytest

from logs.store.writing import MAX_ACTIONS_IN_STATEMENT
from tests.builders import a_log, a_view, refusal, some_logs, stored_actions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def debug(settings):
    settings.DEBUG = True


@pytest.mark.parametrize(
    "count", [1, MAX_ACTIONS_IN_STATEMENT + 1], ids=["one statement", "more than fit into one statement"]
)
def test_a_batch_is_stored(post, count):
    answer = post([a_log(*[a_view()] * count)])
    assert (answer.status_code, answer.json()["stored"], stored_actions()) == (200, count, count)


def test_a_batch_with_a_key_is_stored_once(post):
    answers = [post(some_logs(2), headers={"Idempotency-Key": "k"}).json() for _ in range(2)]
    assert [(answer["stored"], answer["duplicates"]) for answer in answers] == [(2, 0), (0, 2)]


@pytest.mark.parametrize("query", ["", "userId=0", "limit=1", "limit=1&userId=0", "order=newest&types=VIEW"])
def test_logs_are_read(client, post, query):
    logs = some_logs(3)
    post(logs)
    answer = client.get(f"/logs/?{query}&format=ndjson")
    assert answer.status_code == 200
    assert json.loads(answer.getvalue().splitlines()[0]) in logs


def test_a_page_that_is_refused_says_why_in_the_contracts_error_body(admin_client):
    answer = admin_client.get("/admin/insights/totals.json?from=x")
    assert refusal(answer) == (400, "INVALID_PARAMETER")

"""Many writers at once: nothing is lost or waits for ever, and a log's figures are those of its actions."""

from __future__ import annotations

from collections import Counter

import pytest
from django.test import Client

from logs.models import Action, Log
from tests.builders import a_click, a_log, a_navigation, a_view, at_once, stored_actions, stored_logs
from tests.citus import skip_on_citus
from tests.conftest import decoded

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS, ROUNDS = 6, 5


def poster(*batches):
    """What posts one batch after another and returns the statuses."""

    def post() -> list[int]:
        client = Client()
        return [client.post("/logs/", batch, content_type="application/json").status_code for batch in batches]

    return post


def assert_figures_are_true() -> None:
    for log in Log.objects.all():
        actions = list(Action.objects.filter(user_id=log.user_id, log_id=log.id))
        types = Counter(action.type for action in actions)
        assert (log.click_count, log.view_count, log.navigate_count) == (
            types["CLICK"],
            types["VIEW"],
            types["NAVIGATE"],
        )
        assert log.first_time == min(action.time for action in actions)
        assert log.last_time == max(action.time for action in actions)


def test_batches_for_the_same_log_all_arrive():
    batches = [
        [
            [a_log(a_view(f"2018-10-18T21:{writer:02}:{number:02}-06:00", f"{writer}/{number}"))]
            for number in range(ROUNDS)
        ]
        for writer in range(WRITERS)
    ]
    assert at_once([poster(*own) for own in batches]) == [[200] * ROUNDS] * WRITERS
    (log,) = decoded(Client().get("/logs/"))
    assert [action["properties"]["viewedId"] for action in log["actions"]] == [
        f"{writer}/{number}" for writer in range(WRITERS) for number in range(ROUNDS)
    ]
    # Batches that arrive together change the log once.
    assert 1 <= Log.objects.get().version <= WRITERS * ROUNDS
    assert_figures_are_true()


def test_batches_that_name_the_same_logs_in_opposite_orders_do_not_block_each_other():
    forth = [a_log(a_view(), a_click(), user=f"user {number}") for number in range(20)]
    back = [a_log(a_navigation(), user=f"user {number}") for number in reversed(range(20))]
    shuffled = [*forth[1::2], *back[::3], *forth[::5]]
    sent = [forth, back, shuffled] * 2
    assert at_once([poster(*[batch] * ROUNDS) for batch in sent]) == [[200] * ROUNDS] * 6
    assert stored_logs() == 20
    assert stored_actions() == ROUNDS * sum(len(log["actions"]) for batch in sent for log in batch)
    assert_figures_are_true()


def test_each_batch_keeps_its_own_order_among_others():
    def own(writer: int):
        return [
            [a_log(*(a_view(viewed_id=f"{writer}/{batch}/{number}") for number in range(20)))] for batch in range(3)
        ]

    at_once([poster(*own(writer)) for writer in range(4)])
    (log,) = decoded(Client().get("/logs/"))
    for writer in range(4):
        ids = [action["properties"]["viewedId"] for action in log["actions"]]
        assert [name for name in ids if name.startswith(f"{writer}/")] == [
            f"{writer}/{batch}/{number}" for batch in range(3) for number in range(20)
        ]


def test_refused_batches_among_good_ones_leave_nothing():
    good, bad = [a_log(a_view())], [a_log(a_click(), user="bad"), a_log(a_view(viewed_id=7))]
    statuses = at_once([poster(*[good, bad] * 3)] * 4)
    assert statuses == [[200, 400] * 3] * 4
    assert (stored_logs(), stored_actions()) == (1, 12)
    assert_figures_are_true()


def test_readers_see_whole_batches_only():
    skip_on_citus("needs one snapshot of all machines")
    batch = [a_log(a_view(), user=str(number)) for number in range(5)]

    def read() -> list[set[int]]:
        client = Client()
        answers = [decoded(client.get("/logs/")) for _ in range(10)]
        return [{len(log["actions"]) for log in answer} for answer in answers]

    *reads, statuses = at_once([read, read, poster(*[batch] * 10)])
    assert statuses == [200] * 10
    assert all(len(sizes) <= 1 for seen in reads for sizes in seen)


def test_an_etag_is_never_that_of_an_older_answer():
    def read() -> list[tuple[str, int]]:
        client = Client()
        answers = [client.get("/logs/?userId=ABC123XYZ") for _ in range(15)]
        return [(answer.headers["ETag"], len(answer.getvalue())) for answer in answers]

    *reads, _ = at_once([read, read, poster(*[[a_log(a_view())]] * 15)])
    final = Client().get("/logs/?userId=ABC123XYZ")
    for etag, size in sum(reads, []):  # noqa: RUF017
        if etag == final.headers["ETag"]:
            assert size == len(final.getvalue())


@pytest.mark.parametrize(
    "later", [a_view("2018-10-18T21:37:29-06:00"), a_view("0001-01-01T00:00:00-06:00")], ids=["after", "before"]
)
def test_the_figures_of_a_log_follow_each_append(post, later):
    post([a_log(), a_log(a_click())])
    post([a_log(later)])
    log = Log.objects.get()
    assert (log.version, log.click_count, log.view_count, log.navigate_count) == (2, 2, 2, 1)
    assert_figures_are_true()

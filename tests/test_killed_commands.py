"""Commands that are killed between two statements, again and again, and run once more: the store is true, and complete.

`make test ARGS="tests/test_killed_commands.py --fault-rounds=50"` kills each of them so often.
"""

from __future__ import annotations

import random

import pytest

from tests.builders import as_lines, many_logs

# So that each process of the tests has databases under names of its own.
pytestmark = pytest.mark.django_db

# Some more than a batch or chunk takes.
STATEMENTS = 15


@pytest.fixture
def lines(fault_rounds):
    """Logs that take longer than all the kills leave time for."""
    return many_logs(100 + 50 * fault_rounds)


def kill_again_and_again(manage, rounds, *arguments):
    for _ in range(rounds):
        assert manage.kill_in_mid_batch(random.randint(1, STATEMENTS), *arguments)
    assert "Findings: 0" in manage.succeed("verifylogs")


def test_an_import_stores_each_log_once(manage, tmp_path, lines, fault_rounds):
    (tmp_path / "logs").write_bytes(as_lines(*lines))
    kill_again_and_again(manage, fault_rounds, "importlogs", tmp_path / "logs")
    assert manage.export() != as_lines(*lines)
    manage.finish_in_small_steps("importlogs", tmp_path / "logs")
    assert manage.export() == as_lines(*lines)
    assert "Findings: 0" in manage.succeed("verifylogs")


def test_a_purge_deletes_what_is_old_and_nothing_else(manage, tmp_path, lines, fault_rounds):
    (tmp_path / "logs").write_bytes(as_lines(*lines))
    manage.succeed("importlogs", tmp_path / "logs")
    purge = ["purgelogs", "--before", "2018-10-14T00:00:00-06:00", "--yes"]
    kill_again_and_again(manage, fault_rounds, *purge)
    kept = as_lines(*(log for log in lines if log["actions"][0]["time"] >= "2018-10-14"))
    assert manage.export() != kept
    manage.finish_in_small_steps(*purge)
    assert manage.export() == kept
    assert "Findings: 0" in manage.succeed("verifylogs")

"""Whether the store is up and ready, as those who run it ask."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.db import connection

from logs.lib.errors import ErrorCode

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def asks_for_keys(open_store, settings):
    settings.LOGSTORE_AUTH = "keys"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_health_is_told_without_a_key_and_without_data(client, path, method):
    answer = getattr(client, method)(path)
    assert answer.status_code == 200
    assert method == "head" or answer.json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_for_reading_alone(client, path):
    answer = client.post(path)
    assert (answer.status_code, answer.json()["code"], answer["Allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, HEAD")


def test_a_process_is_up_without_a_database(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/healthz").status_code == 200


def test_readiness_is_cheap(client, django_assert_max_num_queries):
    with django_assert_max_num_queries(2):
        client.get("/readyz")


def test_a_store_without_its_last_migration_is_not_ready(client):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'logs'")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "STORE_UNAVAILABLE")
    assert "migrate" in answer.json()["detail"]
    assert int(answer["Retry-After"]) > 0


ASK_WITHOUT_A_DATABASE = """
import django; django.setup()
from django.test import Client
for path in ("/healthz", "/readyz"):
    answer = Client().get(path)
    print(answer.status_code, answer.json().get("code"), answer.json().get("detail"))
"""


@pytest.mark.parametrize(
    "url", ["postgres://secret_name@127.0.0.1:1/nothing", "sqlite:///{folder}/secret_name"], ids=["server", "file"]
)
def test_a_store_whose_database_is_away_is_up_and_not_ready(url, tmp_path):
    # SQLite opens no folder.
    (tmp_path / "secret_name").mkdir()
    environ = {
        **os.environ,
        "DATABASE_URL": url.format(folder=tmp_path),
        "DJANGO_SETTINGS_MODULE": "logstore_project.settings",
    }
    asked = subprocess.run(
        [sys.executable, "-c", ASK_WITHOUT_A_DATABASE], env=environ, capture_output=True, text=True, check=True
    )
    assert asked.stdout.splitlines() == [
        "200 None None",
        f"503 STORE_UNAVAILABLE {ErrorCode.STORE_UNAVAILABLE.sentence}",
    ]
    assert "secret_name" not in asked.stderr

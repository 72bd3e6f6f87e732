"""Guessing passwords at the admin's login."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.caches import NOBODY_LISTENS, with_cache

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"


@pytest.fixture(autouse=True)
def an_admin(django_user_model, settings):
    settings.LOGSTORE_RATE_LOGIN = (3, 86400)
    return django_user_model.objects.create_superuser("admin", password="right")


def attempt(client, password, name="admin", **extra):
    return client.post(f"{LOGIN}?next=/admin/", {"username": name, "password": password}, **extra)


def test_the_right_password_opens_the_admin(client):
    assert attempt(client, "right").status_code == 302
    assert client.get("/admin/").status_code == 200


def test_after_too_many_attempts_even_the_right_password_is_not_looked_at(client):
    assert [attempt(client, "wrong", name).status_code for name in ("admin", "root", "admin")] == [200, 200, 200]
    answer = attempt(client, "right")
    assert (answer.status_code, answer.json()["code"]) == (429, "THROTTLED")
    assert int(answer["Retry-After"]) >= 1
    assert client.get("/admin/").status_code == 302


def test_nobody_can_lock_an_admin_out_from_another_address(client):
    for _ in range(5):
        attempt(client, "wrong", REMOTE_ADDR="192.0.2.1")
    assert attempt(client, "right", REMOTE_ADDR="192.0.2.2").status_code == 302


def test_the_page_itself_is_not_limited(client):
    assert {client.get(LOGIN).status_code for _ in range(5)} == {200}


def test_a_file_in_the_form_is_not_kept(client):
    answer = client.post(LOGIN, {"username": SimpleUploadedFile("name.txt", b"admin"), "password": "right"})
    assert answer.status_code == 200
    assert not answer.wsgi_request.FILES


@pytest.mark.parametrize("length", ["x", "-5", "", "9" * 5000], ids=["no number", "negative", "empty", "endless"])
def test_a_form_of_a_length_that_is_none_is_refused_or_empty(client, length):
    assert client.post(LOGIN, {"username": "admin"}, CONTENT_LENGTH=length).status_code == 200


def test_the_login_stays_limited_while_the_shared_cache_is_away(client, settings):
    with_cache(settings, NOBODY_LISTENS)
    assert [attempt(client, "wrong").status_code for _ in range(4)] == [200, 200, 200, 429]

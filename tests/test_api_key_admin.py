"""API keys in the admin."""

from __future__ import annotations

import html
import re

import pytest
from django.test import Client

from logs.access import keys
from logs.access.models import ApiKey
from tests.builders import a_key

pytestmark = pytest.mark.django_db

LIST = "/admin/access/apikey/"


def text_on(page):
    return re.search(r'<code id="api-key">([^<]+)</code>', page.content.decode())[1]


def test_a_new_key_is_shown_once_and_never_again(admin_client):
    made = admin_client.post(f"{LIST}add/", {"name": "Web shop", "scope": "ingest", "expires_0": "", "expires_1": ""})
    text = text_on(made)
    key = keys.find(text)
    assert (key.name, key.scope) == ("Web shop", "ingest")
    assert "no-store" in made["Cache-Control"]
    for url in (LIST, f"{LIST}{key.pk}/change/", f"{LIST}{key.pk}/history/", "/admin/"):
        page = admin_client.get(url)
        assert page.status_code == 200
        assert text not in page.content.decode()
    assert text not in str(admin_client.cookies)


@pytest.mark.parametrize("scope, request_", [("ingest", "-d '[\n"), ("read", "/logs/?limit=10'"), ("both", "-d '[\n")])
def test_a_new_key_comes_with_a_request_to_try_it(admin_client, scope, request_):
    made = admin_client.post(f"{LIST}add/", {"name": "x", "scope": scope, "expires_0": "", "expires_1": ""})
    example = html.unescape(re.search(r'<pre class="key" id="api-key-example">(.*?)</pre>', made.text, re.DOTALL)[1])
    assert example.startswith("curl ")
    assert f"-H 'Authorization: Bearer {text_on(made)}'" in example
    assert request_ in example


def test_the_list_shows_what_is_known_of_a_key(admin_client):
    key, _ = a_key("read")
    page = admin_client.get(LIST).content.decode()
    assert key.prefix in page
    assert key.digest not in page
    for column in ("name", "scope", "prefix", "created", "last_used", "expires", "revoked"):
        assert f"column-{column}" in page


def test_only_the_name_of_a_key_can_be_changed(admin_client):
    key, text = a_key("read")
    admin_client.post(f"{LIST}{key.pk}/change/", {"name": "renamed", "scope": "both", "prefix": "x", "digest": "x"})
    changed = keys.find(text)
    assert (changed.name, changed.scope, changed.prefix) == ("renamed", "read", key.prefix)


def test_keys_are_revoked_from_the_list(admin_client):
    key, text = a_key()
    other, other_text = a_key()
    admin_client.post(LIST, {"action": "revoke", "_selected_action": [key.pk]})
    assert keys.find(text) is None
    assert keys.find(other_text) == other


def test_a_key_is_never_deleted(admin_client):
    key, _ = a_key()
    assert admin_client.post(f"{LIST}{key.pk}/delete/", {"post": "yes"}).status_code == 403
    assert ApiKey.objects.filter(pk=key.pk).exists()


def test_staff_without_the_permission_sees_no_key(client: Client, django_user_model):
    client.force_login(django_user_model.objects.create_user("staff", is_staff=True))
    assert client.get(LIST).status_code == 403

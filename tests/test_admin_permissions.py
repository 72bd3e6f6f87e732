"""What the admin's pages show to whom; who may open which is in test_who_may_what.py."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.urls import reverse

from logs.models import AccessRecord, Action, ErasedUser, Log
from logs.store import purge
from tests.builders import a_log, a_staff_user, refusal, store_logs

pytestmark = pytest.mark.django_db

VIEW = ("view_log", "view_action")


@pytest.fixture
def log():
    """A log, an erasure and an access on record."""
    store_logs(a_log())
    purge.erase_user("somebody else", "tester")
    return Log.objects.get()


def _url(name: str, log: Log) -> str:
    if name == "insights":
        return reverse("admin:insights")
    model, _, page = name.partition("_")
    rows = {"log": Log, "action": Action, "eraseduser": ErasedUser, "accessrecord": AccessRecord}
    args = [] if page == "changelist" else [rows[model].objects.first().pk]
    return reverse(f"admin:logs_{name}", args=args)


# Staff with all of them may see every page.
ALL = {*VIEW, "delete_log", "erase_user", "view_eraseduser", "delete_eraseduser", "view_accessrecord"}
PAGES = [
    "log_changelist",
    "log_change",
    "log_delete",
    "log_erase_user",
    "action_changelist",
    "action_change",
    "action_history",
    "insights",
    "eraseduser_changelist",
    "eraseduser_change",
    "eraseduser_delete",
    "accessrecord_changelist",
    "accessrecord_change",
]


@pytest.mark.parametrize("page", ["log/{log}/change/", "action/{action}/change/", "action/{action}/delete/"])
@pytest.mark.parametrize("field", ["", "nothing", "log", "properties"])
def test_a_field_that_rows_are_not_named_by_is_no_fault_of_ours(admin_client, log, page, field):
    path = page.format(log=log.id, action=Action.objects.first().id)
    assert admin_client.get(f"/admin/logs/{path}?_to_field={field}").status_code < 500


def test_an_empty_field_name_is_refused_for_other_models_too(admin_client, log, admin_user):
    assert admin_client.get(f"/admin/auth/user/{admin_user.pk}/change/?_to_field=").status_code == 400


@pytest.mark.parametrize("chosen", ["x", "", "\0", "-1", "9" * 30])
def test_rows_that_are_chosen_by_what_is_no_id_are_refused(admin_client, chosen):
    form = {"action": "revoke", "_selected_action": ["1", chosen], "index": "0"}
    assert refusal(admin_client.post("/admin/access/apikey/", form)) == (400, "INVALID_PARAMETER")


def test_a_number_that_no_id_can_be_is_refused_in_a_form(admin_client):
    answer = admin_client.post("/admin/auth/group/add/", {"name": "some", "permissions": ["9" * 30]})
    # On PostgreSQL Django finds that there is no such row, and shows the form again.
    assert answer.status_code == (400 if connection.vendor == "sqlite" else 200)
    assert not Group.objects.exists()


def test_no_object_has_a_url_of_its_own_to_go_to(admin_client):
    # Of some models an id is a day.
    for content_type in ContentType.objects.all():
        for object_id in ("1", "x", "2018-10-18", "%00", "9" * 30):
            assert admin_client.get(f"/admin/r/{content_type.pk}/{object_id}/").status_code == 404, content_type


def test_an_erasure_has_no_button_for_those_who_may_not_forgive(client, log):
    client.force_login(a_staff_user(*ALL - {"delete_eraseduser"}, name="without"))
    assert "Forgive" not in client.get(_url("eraseduser_change", log)).text
    client.force_login(a_staff_user(*ALL, name="with"))
    assert "Forgive" in client.get(_url("eraseduser_change", log)).text


@pytest.mark.parametrize("permission, button", [("delete_log", "Delete log"), ("erase_user", "Erase user")])
def test_a_button_is_only_there_for_those_who_may_press_it(client, log, permission, button):
    client.force_login(a_staff_user(*VIEW, name="without"))
    assert button not in client.get(_url("log_change", log)).text
    client.force_login(a_staff_user(*VIEW, permission, name="with"))
    assert button in client.get(_url("log_change", log)).text


@pytest.mark.parametrize("page", ["insights", "action_changelist"])
def test_the_index_names_what_shows_actions_to_those_who_may_see_them_and_their_logs(client, log, page):
    for missing in VIEW:
        client.force_login(a_staff_user(*set(VIEW) - {missing}, name=f"without {missing}"))
        assert f'"{_url(page, log)}"' not in client.get("/admin/").text
    client.force_login(a_staff_user(*VIEW, name="with"))
    assert f'"{_url(page, log)}"' in client.get("/admin/").text


@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds_no_script_or_style_of_its_own(admin_client, log, page):
    answer = admin_client.get(_url(page, log))
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"].split("; ")
    for forbidden in ("<style", " style=", "<script>", " onclick="):
        assert forbidden not in answer.text

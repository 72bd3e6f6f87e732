"""Who may open what of the admin, and that stored data can't be changed there."""

from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType
from django.urls import reverse

from logs.models import AccessRecord, Action, ErasedUser, Log
from logs.store import purge
from tests.builders import a_log, a_staff_user, store_logs, stored_actions

pytestmark = pytest.mark.django_db

VIEW = ("view_log", "view_action")


@pytest.fixture
def log():
    """A log, an erasure and an access on record."""
    store_logs(a_log())
    purge.erase_user("somebody else", "tester")
    return Log.objects.get()


def _url(name: str, log: Log) -> str:
    if name.endswith(".json"):
        return reverse("admin:insights_data", args=[name.removesuffix(".json")])
    if name.startswith("export"):
        return reverse("admin:logs_action_export", args=[name.partition(".")[2]])
    if name == "insights":
        return reverse("admin:insights")
    model, _, page = name.partition("_")
    rows = {"log": Log, "action": Action, "eraseduser": ErasedUser, "accessrecord": AccessRecord}
    args = [] if page == "changelist" else [rows[model].objects.first().pk]
    return reverse(f"admin:logs_{name}", args=args)


# Staff with all of them may see every page.
ALL = {*VIEW, "delete_log", "erase_user", "view_eraseduser", "delete_eraseduser", "view_accessrecord"}
PAGES = {
    "log_changelist": ("view_log",),
    "log_change": VIEW,
    "log_delete": ("view_log", "delete_log"),
    "log_erase_user": ("view_log", "erase_user"),
    "action_changelist": VIEW,
    "action_change": VIEW,
    "action_history": VIEW,
    "export.csv": VIEW,
    "export.ndjson": VIEW,
    "insights": VIEW,
    "eraseduser_changelist": ("view_eraseduser",),
    "eraseduser_change": ("view_eraseduser",),
    "eraseduser_delete": ("delete_eraseduser",),
    "accessrecord_changelist": ("view_accessrecord",),
    "accessrecord_change": ("view_accessrecord",),
    **{f"{chart}.json": VIEW for chart in ("totals", "activity", "clicks", "flow", "views", "users")},
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_who_is_there(client, log, page):
    answer = client.get(_url(page, log))
    assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/admin/login/")


@pytest.mark.parametrize("page", PAGES)
def test_staff_with_the_permissions_of_a_page_see_it(client, log, page):
    client.force_login(a_staff_user(*PAGES[page]))
    assert client.get(_url(page, log)).status_code == 200


@pytest.mark.parametrize("page, missing", [(page, one) for page, needed in PAGES.items() for one in needed])
def test_staff_who_lack_one_permission_of_a_page_do_not(client, log, page, missing):
    client.force_login(a_staff_user(*ALL - {missing}))
    assert client.get(_url(page, log)).status_code == 403


@pytest.mark.parametrize("permissions", [(), ("view_log",), ("view_action",), VIEW], ids=str)
def test_an_action_is_seen_by_those_alone_who_may_see_its_log_too(client, log, permissions):
    client.force_login(a_staff_user(*permissions))
    for page in ("action_changelist", "action_change", "action_history", "export.ndjson"):
        answer = client.get(_url(page, log))
        assert answer.status_code == (200 if permissions == VIEW else 403), page
    assert ("/admin/logs/action/" in client.get("/admin/").text) == (permissions == VIEW)


@pytest.mark.parametrize("page", ["log/{log}/change/", "action/{action}/change/", "action/{action}/delete/"])
@pytest.mark.parametrize("field", ["", "nothing", "log", "properties"])
def test_a_field_that_rows_are_not_named_by_is_no_fault_of_ours(admin_client, log, page, field):
    path = page.format(log=log.id, action=Action.objects.first().id)
    assert admin_client.get(f"/admin/logs/{path}?_to_field={field}").status_code < 500


def test_an_empty_field_name_is_refused_for_other_models_too(admin_client, log, admin_user):
    assert admin_client.get(f"/admin/auth/user/{admin_user.pk}/change/?_to_field=").status_code == 400


def test_no_object_has_a_url_of_its_own_to_go_to(admin_client):
    # Of some models an id is a day.
    for content_type in ContentType.objects.all():
        for object_id in ("1", "x", "2018-10-18", "%00", "9" * 30):
            assert admin_client.get(f"/admin/r/{content_type.pk}/{object_id}/").status_code == 404, content_type


@pytest.mark.parametrize("page", PAGES)
def test_a_user_who_is_not_staff_is_not_let_in(client, log, page):
    user = a_staff_user(*ALL)
    user.is_staff = False
    user.save()
    client.force_login(user)
    assert client.get(_url(page, log)).status_code == 302


@pytest.mark.parametrize("page", ["log_delete", "log_erase_user"])
def test_deleting_without_the_permission_is_refused(viewer, log, page):
    assert viewer.post(_url(page, log)).status_code == 403
    assert stored_actions() == 3


def test_forgiving_without_the_permission_is_refused(client, log):
    client.force_login(a_staff_user(*ALL - {"delete_eraseduser"}))
    assert "Forgive" not in client.get(_url("eraseduser_change", log)).text
    assert client.post(_url("eraseduser_delete", log), {"post": "yes"}).status_code == 403
    assert ErasedUser.objects.exists()


@pytest.mark.parametrize("permission, button", [("delete_log", "Delete log"), ("erase_user", "Erase user")])
def test_a_button_is_only_there_for_those_who_may_press_it(client, log, permission, button):
    client.force_login(a_staff_user(*VIEW, name="without"))
    assert button not in client.get(_url("log_change", log)).text
    client.force_login(a_staff_user(*VIEW, permission, name="with"))
    assert button in client.get(_url("log_change", log)).text


@pytest.mark.parametrize("url", ["log/add/", "action/add/", "action/{action}/change/", "action/{action}/delete/"])
def test_not_even_a_superuser_adds_or_changes_what_is_stored(admin_client, log, url):
    before = list(Action.objects.order_by("id").values())
    answer = admin_client.post(f"/admin/logs/{url.format(action=before[0]['id'])}", {"type": "VIEW", "post": "yes"})
    assert answer.status_code == 403
    assert list(Action.objects.order_by("id").values()) == before


def test_insights_is_named_on_the_index_for_those_who_may_see_it(client, log):
    client.force_login(a_staff_user("view_log", name="without"))
    assert "Insights" not in client.get("/admin/").text
    client.force_login(a_staff_user(*VIEW, name="with"))
    assert reverse("admin:insights") in client.get("/admin/").text


@pytest.mark.parametrize("page", [page for page in PAGES if not page.endswith(("json", "csv"))])
def test_a_page_holds_no_script_or_style_of_its_own(admin_client, log, page):
    answer = admin_client.get(_url(page, log))
    text = b"".join(answer).decode()
    if answer.headers["Content-Type"].startswith("text/html"):
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"].split("; ")
        assert "<style" not in text
        assert " style=" not in text
        assert "<script>" not in text
        assert " onclick=" not in text

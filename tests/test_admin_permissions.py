"""Who may open what of the admin, and that stored data can't be changed there."""

from __future__ import annotations

import pytest
from django.urls import reverse

from logs.models import Action, Log
from tests.builders import a_log, a_staff_user, store_logs, stored_actions

pytestmark = pytest.mark.django_db

VIEW = ("view_log", "view_action")


@pytest.fixture
def log():
    store_logs(a_log())
    return Log.objects.get()


def _address(name: str, log: Log) -> str:
    if name.endswith(".json"):
        return reverse("admin:insights_data", args=[name.removesuffix(".json")])
    if name.startswith("export"):
        return reverse("admin:logs_action_export", args=[name.partition(".")[2]])
    if name == "insights":
        return reverse("admin:insights")
    model, _, page = name.partition("_")
    args = {"log": [log.id], "action": [Action.objects.first().id]}[model] if page != "changelist" else []
    return reverse(f"admin:logs_{name}", args=args)


PAGES = {
    "log_changelist": ("view_log",),
    "log_change": VIEW,
    "log_delete": ("view_log", "delete_log"),
    "log_erase_user": ("view_log", "erase_user"),
    "action_changelist": VIEW,
    "action_change": ("view_action",),
    "export.csv": VIEW,
    "export.ndjson": VIEW,
    "insights": VIEW,
    **{f"{picture}.json": VIEW for picture in ("figures", "activity", "clicks", "flow", "views", "users")},
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_who_is_there(client, log, page):
    answer = client.get(_address(page, log))
    assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/admin/login/")


@pytest.mark.parametrize("page", PAGES)
def test_staff_with_the_permissions_of_a_page_see_it(client, log, page):
    client.force_login(a_staff_user(*PAGES[page]))
    assert client.get(_address(page, log)).status_code == 200


@pytest.mark.parametrize("page, missing", [(page, one) for page, needed in PAGES.items() for one in needed])
def test_staff_who_lack_one_permission_of_a_page_do_not(client, log, page, missing):
    client.force_login(a_staff_user(*{*VIEW, "delete_log", "erase_user"} - {missing}))
    assert client.get(_address(page, log)).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_a_user_who_is_not_staff_is_not_let_in(client, log, page):
    user = a_staff_user(*VIEW, "delete_log", "erase_user")
    user.is_staff = False
    user.save()
    client.force_login(user)
    assert client.get(_address(page, log)).status_code == 302


@pytest.mark.parametrize("page", ["log_delete", "log_erase_user"])
def test_deleting_without_the_permission_is_refused(viewer, log, page):
    assert viewer.post(_address(page, log)).status_code == 403
    assert stored_actions() == 3


@pytest.mark.parametrize("permission, button", [("delete_log", "Delete this log"), ("erase_user", "Erase this user")])
def test_a_button_is_only_there_for_those_who_may_press_it(client, log, permission, button):
    client.force_login(a_staff_user(*VIEW, name="without"))
    assert button not in client.get(_address("log_change", log)).text
    client.force_login(a_staff_user(*VIEW, permission, name="with"))
    assert button in client.get(_address("log_change", log)).text


@pytest.mark.parametrize("address", ["log/add/", "action/add/", "action/{action}/change/", "action/{action}/delete/"])
def test_not_even_a_superuser_adds_or_changes_what_is_stored(admin_client, log, address):
    before = list(Action.objects.order_by("id").values())
    answer = admin_client.post(f"/admin/logs/{address.format(action=before[0]['id'])}", {"type": "VIEW", "post": "yes"})
    assert answer.status_code == 403
    assert list(Action.objects.order_by("id").values()) == before


def test_insights_is_named_on_the_index_for_those_who_may_see_it(client, log):
    client.force_login(a_staff_user("view_log", name="without"))
    assert "Insights" not in client.get("/admin/").text
    client.force_login(a_staff_user(*VIEW, name="with"))
    assert reverse("admin:insights") in client.get("/admin/").text


@pytest.mark.parametrize("page", [page for page in PAGES if not page.endswith(("json", "csv"))])
def test_a_page_holds_no_script_or_style_of_its_own(admin_client, log, page):
    answer = admin_client.get(_address(page, log))
    text = b"".join(answer).decode()
    if answer.headers["Content-Type"].startswith("text/html"):
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"].split("; ")
        assert "<style" not in text
        assert " style=" not in text
        assert "<script>" not in text
        assert " onclick=" not in text

"""What axe-core finds on every page of ours: nothing that is serious or critical."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import expect

from logs.access.models import Scope
from logs.models import Action, Log
from logs.store import access_records, purge
from logs.store.access_records import AccessKind
from tests.browser import DESKTOP, PHONE, has_no_sideways_scroll, log_in
from tests.builders import a_click, a_key, a_log, a_navigation, a_view, store_logs

pytest_plugins = ["tests.browser_fixtures"]
pytestmark = pytest.mark.django_db(transaction=True)


HOSTILE = a_log(
    a_click(x=1, y=2),
    a_view(viewed_id="e" + "\u0301" * 2_000),
    a_navigation(page_from="p" * 2_048, page_to="\u202e<b>" + "z" * 2_000),
    user="\u202eresu siht esarE" + "u" * 200,
    session="\U0001f600" * 255,
)

# The label of Django's own search boxes is a picture with a text of its own.
OPTIONS = {"resultTypes": ["violations"], "rules": {"label-title-only": {"enabled": False}}}


def _faults(page) -> list[str]:
    found = Axe().run(page, options=OPTIONS).response["violations"]
    return [
        f"{page.url}: {fault['id']}: {node['html'][:200]} {node['any'][0]['message'] if node['any'] else ''}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize(
    "visit",
    # The style that axe-core itself adds is none of our pages'.
    [
        {**DESKTOP, "bypass_csp": True},
        {**DESKTOP, "color_scheme": "dark", "bypass_csp": True},
        {**PHONE, "bypass_csp": True},
    ],
    ids=["desktop-light", "desktop-dark", "phone-dark"],
    indirect=True,
)
def test_axe_finds_no_serious_fault_on_any_page_and_none_is_wider_than_the_screen(visit):
    User.objects.create_superuser("staff")
    store_logs(a_log(), HOSTILE, a_log(user="erased"))
    purge.erase_user("erased", "staff")
    access_records.note(AccessKind.VIEW, "staff", "everybody", count=1)
    key, _ = a_key(Scope.READ)
    log, action = Log.objects.get(user_id=HOSTILE["userId"]), Action.objects.first()
    faults, wide = [], []

    def look(path: str) -> None:
        page = visit.open(path)
        if "insights" in path:
            expect(page.locator("#insights[data-ready=true]")).to_be_visible(timeout=30_000)
        if path == "/docs/":
            expect(page.locator(".opblock").first).to_be_visible(timeout=30_000)
        faults.extend(_faults(page))
        if not has_no_sideways_scroll(page):
            wide.append(path)

    for path in ("/", "/docs/", "/admin/login/"):
        look(path)
    log_in(visit, "staff")
    for path in (
        "/admin/",
        "/admin/logs/log/",
        reverse("admin:logs_log_change", args=[log.id]),
        reverse("admin:logs_log_delete", args=[log.id]),
        reverse("admin:logs_log_erase_user", args=[log.id]),
        "/admin/logs/action/",
        reverse("admin:logs_action_change", args=[action.id]),
        "/admin/insights/?from=2018-10-15&to=2018-10-20",
        "/admin/logs/eraseduser/",
        "/admin/logs/accessrecord/",
        "/admin/access/apikey/",
        "/admin/access/apikey/add/",
        reverse("admin:access_apikey_change", args=[key.pk]),
    ):
        look(path)
    assert (faults, wide) == ([], [])

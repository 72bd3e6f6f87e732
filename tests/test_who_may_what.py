"""Who may do what at each address, whoever asks and by whichever method: the tables below, tested whole.

docs/reference/permissions.md is made of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import product

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver
from django.utils import timezone

from logs.access.models import ApiKey
from logs.admin.charts import CHARTS
from logs.models import AccessKind, AccessRecord, Action, ErasedUser, Log
from logs.store import access_records, purge
from logs.transfer.exporting import FORMATS
from tests.builders import a_key, a_log, bearer, store_logs, stored_actions
from tests.targets import assert_is_error

pytestmark = pytest.mark.django_db

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MADEUP")

# The status that each caller gets. A session is that of any user of the admin, who is nobody to the API.
API = """
| address | method | nobody, any session | revoked, expired or unknown key | `ingest` key | `read` key | `both` key | `ingest` in `?key=` | another in `?key=` | open store |
|---|---|---|---|---|---|---|---|---|---|
| `/logs/` `/logs` | GET HEAD | 401 | 401 | 403 | 200 | 200 | 401 | 401 | 200 |
| | POST | 401 | 401 | 200 | 403 | 200 | 200 | 403 | 200 |
| | OPTIONS | 200 | 200 | 200 | 200 | 200 | 200 | 200 | 200 |
| | any other | 401 | 401 | 405 | 405 | 405 | 401 | 401 | 405 |
| `/logs/changes/` `/logs/changes` | GET HEAD | 401 | 401 | 403 | 200 | 200 | 401 | 401 | 200 |
| | POST | 401 | 401 | 405 | 403 | 405 | 405 | 403 | 405 |
| | OPTIONS | 200 | 200 | 200 | 200 | 200 | 200 | 200 | 200 |
| | any other | 401 | 401 | 405 | 405 | 405 | 401 | 401 | 405 |
| `/metrics` | GET HEAD | 401 | 401 | 403 | 200 | 200 | 401 | 401 | 200 |
| | POST | 401 | 401 | 405 | 403 | 405 | 405 | 403 | 405 |
| | OPTIONS | 200 | 200 | 200 | 200 | 200 | 200 | 200 | 200 |
| | any other | 401 | 401 | 405 | 405 | 405 | 401 | 401 | 405 |
| `/healthz` `/readyz` | GET HEAD | 200 | 200 | 200 | 200 | 200 | 200 | 200 | 200 |
| | any other | 405 | 405 | 405 | 405 | 405 | 405 | 405 | 405 |
| `/` `/docs/` `/schema/` `/schema` | GET HEAD OPTIONS | 200 | 200 | 200 | 200 | 200 | 200 | 200 | 200 |
| | any other | 405 | 405 | 405 | 405 | 405 | 405 | 405 | 405 |
| `/favicon.ico` | GET HEAD | 302 | 302 | 302 | 302 | 302 | 302 | 302 | 302 |
| | OPTIONS | 200 | 200 | 200 | 200 | 200 | 200 | 200 | 200 |
| | any other | 405 | 405 | 405 | 405 | 405 | 405 | 405 | 405 |
"""  # noqa: E501

# The permissions that staff need, all that a cell names, for a 200 or the status behind the arrow; without them it is
# 403, or the status after `else`. Whoever is no staff gets a 302 to the login, or the status of the last column.
ADMIN = """
| address | GET HEAD | POST | no staff |
|---|---|---|---|
| `/admin/login/` | any → 302 | any | 200 |
| `/admin/logout/` | any → 405 | any | 302 |
| `/admin/` `/admin/password_change/` | any | any | 302 |
| `/admin/password_change/done/` `/admin/jsi18n/` | any | any → 405 | 302 |
| `/admin/autocomplete/` | nobody | any → 405 | 302 |
| `/admin/r/<content_type_id>/<object_id>/` `/admin/<url>` | any → 404 | any → 404 | 302 |
| `/admin/logs/` | `logs.view_log` or `logs.view_eraseduser` or `logs.delete_eraseduser` or `logs.view_accessrecord` else 404 | as GET | 302 |
| `/admin/access/` | `access.view_apikey` or `access.add_apikey` or `access.change_apikey` else 404 | as GET | 302 |
| `/admin/auth/` | `auth.*` else 404 | as GET | 302 |
| `/admin/insights/` | `logs.view_log` `logs.view_action` | `logs.view_log` `logs.view_action` → 405 | 302 |
| `/admin/insights/<chart>.json` | `logs.view_log` `logs.view_action` | `logs.view_log` `logs.view_action` → 405 | 302 |
| `/admin/logs/log/` `/admin/logs/log/<object_id>/history/` | `logs.view_log` | as GET | 302 |
| `/admin/logs/log/<object_id>/change/` | `logs.view_log` `logs.view_action` | as GET | 302 |
| `/admin/logs/log/<object_id>/delete/` | `logs.view_log` `logs.delete_log` | `logs.view_log` `logs.delete_log` → 302 | 302 |
| `/admin/logs/log/<log_id>/erase-user/` | `logs.view_log` `logs.erase_user` | `logs.view_log` `logs.erase_user` → 302 | 302 |
| `/admin/logs/action/` `/admin/logs/action/<object_id>/history/` `/admin/logs/action/export.<file_format>` | `logs.view_log` `logs.view_action` | as GET | 302 |
| `/admin/logs/action/<object_id>/change/` | `logs.view_log` `logs.view_action` | nobody | 302 |
| `/admin/logs/eraseduser/` `/admin/logs/eraseduser/<object_id>/history/` | `logs.view_eraseduser` | as GET | 302 |
| `/admin/logs/eraseduser/<object_id>/change/` | `logs.view_eraseduser` | nobody | 302 |
| `/admin/logs/eraseduser/<object_id>/delete/` | `logs.delete_eraseduser` | `logs.delete_eraseduser` → 302 | 302 |
| `/admin/logs/accessrecord/` `/admin/logs/accessrecord/<object_id>/history/` | `logs.view_accessrecord` | as GET | 302 |
| `/admin/logs/accessrecord/<object_id>/change/` | `logs.view_accessrecord` | nobody | 302 |
| `/admin/logs/log/add/` `/admin/logs/action/add/` `/admin/logs/eraseduser/add/` `/admin/logs/accessrecord/add/` | nobody | nobody | 302 |
| `/admin/logs/action/<object_id>/delete/` `/admin/logs/accessrecord/<object_id>/delete/` `/admin/access/apikey/<object_id>/delete/` | nobody | nobody | 302 |
| `/admin/access/apikey/` `/admin/access/apikey/<object_id>/history/` | `access.view_apikey` or `access.change_apikey` | as GET | 302 |
| `/admin/access/apikey/add/` | `access.add_apikey` | as GET | 302 |
| `/admin/access/apikey/<object_id>/change/` | `access.view_apikey` or `access.change_apikey` | `access.change_apikey` → 302 | 302 |
| `/admin/auth/user/` `/admin/auth/user/<object_id>/history/` | `auth.view_user` or `auth.change_user` | as GET | 302 |
| `/admin/auth/user/add/` | `auth.add_user` `auth.change_user` | `auth.add_user` `auth.change_user` → 302 | 302 |
| `/admin/auth/user/<object_id>/change/` | `auth.view_user` or `auth.change_user` | `auth.change_user` → 302 | 302 |
| `/admin/auth/user/<id>/password/` | `auth.change_user` | `auth.change_user` → 302 | 302 |
| `/admin/auth/user/<object_id>/delete/` | `auth.delete_user` | `auth.delete_user` → 302 | 302 |
| `/admin/auth/group/` `/admin/auth/group/<object_id>/history/` | `auth.view_group` or `auth.change_group` | as GET | 302 |
| `/admin/auth/group/add/` | `auth.add_group` | `auth.add_group` → 302 | 302 |
| `/admin/auth/group/<object_id>/change/` | `auth.view_group` or `auth.change_group` | `auth.change_group` → 302 | 302 |
| `/admin/auth/group/<object_id>/delete/` | `auth.delete_group` | `auth.delete_group` → 302 | 302 |
| `/admin/logs/log/<object_id>/` `/admin/logs/action/<object_id>/` `/admin/logs/eraseduser/<object_id>/` `/admin/logs/accessrecord/<object_id>/` `/admin/access/apikey/<object_id>/` `/admin/auth/user/<object_id>/` `/admin/auth/group/<object_id>/` | any → 302 | any → 302 | 302 |
"""  # noqa: E501
# What the admin does with any other method, and with a POST that does not come from a form of its own.
OTHER_METHODS = 405
WITHOUT_TOKEN = 403

PERMISSIONS = sorted(set(re.findall(r"`(\w+\.\w+)`", ADMIN)))
# What some cell asks for at once.
TOGETHER = [names.split("` `") for names in sorted(set(re.findall(r"`(\w+\.\w+(?:` `\w+\.\w+)+)`", ADMIN)))]
VIEWS = [name for name in PERMISSIONS if ".view_" in name]


def rows(table: str) -> Iterator[list[str]]:
    """The cells of each row under the head of a table."""
    for line in table.strip().splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def addresses(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def routes(patterns, start="/") -> Iterator[str]:
    """Every address of the URLconf, <converter:name> as <name>, and one for each choice that a pattern lists."""
    for pattern in patterns:
        route = f"{start}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
            continue
        route = re.sub(r"<\w+:(\w+)>", r"<\1>", route)
        choice = re.search(r"\^?\(\?P<(\w+)>([^)]+)\)(/?)\$", route)
        names = choice[2].split("|") if choice and choice[2] != ".*" else [f"<{choice[1]}>" if choice else ""]
        yield from (route[: choice.start()] + name + choice[3] if choice else route for name in names)


def test_every_address_is_in_one_row_and_every_row_is_of_an_address():
    named = [address for table in (API, ADMIN) for row in rows(table) for address in addresses(row[0])]
    assert sorted(named) == sorted(routes(get_resolver().url_patterns))


# --- The API ---------------------------------------------------------------------------------------------------------

A_BATCH = json.dumps([a_log()])


def api_rows() -> Iterator[tuple[str, str, list[int]]]:
    """Each address with each method, and the statuses in the order of the columns."""
    named: list[str] = []
    for first, methods, *statuses in rows(API):
        if first:
            named, left = addresses(first), set(METHODS)
        chosen = left if methods == "any other" else set(methods.split())
        left = left - chosen
        for address, method in product(named, sorted(chosen)):
            yield address, method, [int(status) for status in statuses]


@pytest.fixture
def callers(settings):
    """How each column asks: headers, a key for the query, and the session of a user, of which any may be none."""
    settings.LOGSTORE_AUTH = "keys"
    ended = {"revoked": timezone.now()}, {"expires": timezone.now() - timedelta(seconds=1)}
    keys = {scope: a_key(scope)[1] for scope in ("ingest", "read", "both")}
    root, user = User.objects.create_superuser("root"), User.objects.create_user("user")
    nobody = ({}, "", None)
    return [
        [nobody, ({}, "", root), ({}, "", user)],
        [(bearer(text), "", None) for text in ("x", *(a_key("both", **how)[1] for how in ended))],
        *([(bearer(keys[scope]), "", None)] for scope in ("ingest", "read", "both")),
        [({}, keys["ingest"], None)],
        [({}, keys["read"], None), ({}, keys["both"], root)],
    ]


@pytest.mark.parametrize("auth, debug", [("keys", False), ("open", False), ("keys", True)])
def test_at_the_api_each_caller_gets_what_the_table_says(settings, callers, auth, debug):
    settings.DEBUG = debug
    wrong, stored = [], 0
    for column, callers_of_it in enumerate(callers):
        for headers, key, user in callers_of_it:
            client = Client(enforce_csrf_checks=True, raise_request_exception=False)
            if user is not None:
                client.force_login(user)
            settings.LOGSTORE_AUTH = auth
            for address, method, statuses in api_rows():
                body = A_BATCH if method == "POST" else ""
                query = f"?key={key}" if key else ""
                answer = client.generic(method, address + query, body, "application/json", headers=headers)
                status = statuses[-1] if auth == "open" else statuses[column]
                if status == 200 and query and method in ("GET", "HEAD") and address.startswith("/logs"):
                    # Where no key is looked at it is a parameter that there is not.
                    status = 400
                wrong += mistakes(answer, method, status, f"{address}{query} as {headers} {user}")
                stored += 3 * (method == "POST" and status == 200)
    assert wrong == []
    assert stored_actions() == stored


def mistakes(answer, method: str, status: int, asked: str) -> list[str]:
    """What is wrong with an answer that must have a status, and where it refuses the contract's body."""
    content = answer.getvalue()
    if answer.status_code != status:
        return [f"{method} {asked}: {answer.status_code}, not {status}"]
    if status >= 400 and method != "HEAD":
        assert_is_error(status, json.loads(content))
    return [] if status != 405 or answer.headers.get("Allow") else [f"{method} {asked}: a 405 that allows nothing"]


# --- The admin -------------------------------------------------------------------------------------------------------

TOKEN = "a" * 32
# What each form that changes something takes.
FORM = {
    "post": "yes",
    "confirmation": "ABC123XYZ",
    "name": "another name",
    "scope": "read",
    "username": "another",
    "usable_password": "true",
    "password1": "correct horse battery",
    "password2": "correct horse battery",
    "date_joined_0": "2018-10-18",
    "date_joined_1": "21:37:28",
}


def is_allowed(needed: str, permissions: set[str]) -> bool:
    """Whether permissions are enough for a cell: `a` `b` or `c` is both a and b, or c."""
    if needed in ("any", "nobody"):
        return needed == "any"
    return any(
        all(any(re.fullmatch(name.replace("*", ".*"), held) for held in permissions) for name in addresses(choice))
        for choice in needed.split(" or ")
    )


def status_for(cell: str, permissions: set[str]) -> int:
    needed, _, otherwise = cell.partition(" else ")
    needed, _, allowed = needed.partition(" → ")
    return int(allowed or 200) if is_allowed(needed, permissions) else int(otherwise or 403)


@pytest.fixture
def things():
    """One of each kind, by the name of its model in an address."""
    store_logs(a_log())
    purge.erase_user("somebody else", "tester")
    access_records.note(AccessKind.VIEW, "tester", "all", "", count=1)
    return {
        "log": Log.objects.get().pk,
        "action": Action.objects.order_by("id")[0].pk,
        "eraseduser": ErasedUser.objects.get().pk,
        "accessrecord": AccessRecord.objects.order_by("id")[0].pk,
        "apikey": a_key()[0].pk,
        "user": User.objects.create_user("somebody").pk,
        "group": Group.objects.create(name="some").pk,
    }


def urls(address: str, things: dict[str, int]) -> list[str]:
    """Address with what its names stand for."""
    if "<chart>" in address:
        return [address.replace("<chart>", chart) for chart in CHARTS]
    if "<file_format>" in address:
        return [address.replace("<file_format>", name) for name in FORMATS]
    model = next((part for part in address.split("/") if part in things), "log")
    return [re.sub(r"<\w+>", str(things[model]), address)]


def admin_rows(things) -> Iterator[tuple[str, str, str, int]]:
    """The URLs of each address, with the cell of reading, that of POST, and the status for those who are no staff."""
    for named, read, post, others in rows(ADMIN):
        for address in addresses(named):
            for url in urls(address, things):
                yield url, read, read if post == "as GET" else post, int(others)


def everything():
    """All that is stored, but for who looked."""
    models = (Log, Action, ErasedUser, ApiKey, User, Group)
    kept = [sorted(model.objects.values_list(), key=repr) for model in models]
    return [*kept, list(AccessRecord.objects.exclude(kind=AccessKind.VIEW).values_list("kind", "user_id"))]


class Browser:
    """A browser in which somebody may be logged in."""

    def __init__(self, user: User | None, headers: dict[str, str]) -> None:
        self._client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        self._headers = headers
        if user is not None:
            self._client.force_login(user)
        self._cookies = self._client.cookies.output()

    def send(self, method, url, *, has_token=True):
        # An answer may have logged the user out.
        self._client.cookies.clear()
        self._client.cookies.load(self._cookies.replace("Set-Cookie: ", ""))
        self._client.cookies["csrftoken"] = TOKEN
        headers = {**self._headers, **({"X-CSRFToken": TOKEN} if has_token else {})}
        if method == "POST":
            return self._client.post(url, FORM, headers=headers)
        return self._client.generic(method, url, headers=headers)


@pytest.fixture(autouse=True)
def any_number_of_logins(settings):
    settings.LOGSTORE_RATE_LOGIN = None


# Who is no staff, whatever else.
OUTSIDERS = ("nobody", "API key", "no staff", "no longer active")
STAFF = {
    "staff": [],
    "all views": VIEWS,
    **{name: [name] for name in PERMISSIONS},
    **{" ".join(names): names for names in TOGETHER},
    "superuser": PERMISSIONS,
}


def a_browser(kind: str) -> Browser:
    if kind in ("nobody", "API key"):
        return Browser(None, bearer(a_key()[1]) if kind == "API key" else {})
    if kind == "superuser":
        return Browser(User.objects.create_superuser("root"), {})
    user = User.objects.create_user("asker", is_staff=kind != "no staff", is_active=kind != "no longer active")
    for name in STAFF.get(kind, PERMISSIONS):
        label, _, codename = name.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=label, codename=codename))
    return Browser(user, {})


@pytest.mark.parametrize("kind", [*OUTSIDERS, *STAFF])
def test_in_the_admin_each_caller_gets_what_the_table_says(things, kind):
    browser = a_browser(kind)
    is_staff = kind not in OUTSIDERS
    permissions = set(STAFF.get(kind, ()))
    before = everything()
    wrong = []
    for url, read, post, others in admin_rows(things):
        for method in METHODS:
            if method in ("GET", "HEAD", "POST"):
                status = status_for(post if method == "POST" else read, permissions) if is_staff else others
            else:
                status = OTHER_METHODS
            # What is refused must change nothing: see below.
            savepoint = transaction.savepoint() if status in (200, 302) else None
            answer = browser.send(method, url)
            wrong += mistakes(answer, method, status, url)
            if not is_staff and status == 302 and "/logout/" not in url:
                assert answer.headers["Location"].startswith("/admin/login/?next=")
            if savepoint is not None:
                transaction.savepoint_rollback(savepoint)
    assert wrong == []
    assert everything() == before


@pytest.mark.parametrize("kind", ["nobody", "staff", "superuser"])
def test_in_the_admin_nothing_is_done_for_a_form_that_is_not_its_own(things, kind):
    browser = a_browser(kind)
    before = everything()
    wrong = []
    for url, *_ in admin_rows(things):
        for method in set(METHODS) - {"GET", "HEAD", "OPTIONS", "TRACE"}:
            answer = browser.send(method, url, has_token=False)
            wrong += mistakes(answer, method, WITHOUT_TOKEN, url)
    assert wrong == []
    assert everything() == before

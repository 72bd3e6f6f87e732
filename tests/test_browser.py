"""The admin in a real browser."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, expect

from logs.lib.times import format_time
from logs.models import Log
from tests.browser import Visit, has_no_sideways_scroll, log_in, on_every_screen
from tests.builders import a_click, a_log, a_navigation, a_staff_user, a_view, store_logs

pytest_plugins = ["tests.browser_fixtures"]
pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "a long enough password"
CHARTS = ("activity", "visitors", "clicks", "flow", "views", "users")


@pytest.fixture
def stored() -> None:
    """A week's worth of two users."""
    a_staff_user("view_log", "view_action", "delete_log", "erase_user", password=PASSWORD)
    now = timezone.now().replace(microsecond=0)
    for day in range(1, 6):
        start = now - timedelta(days=day)

        def at(seconds: int, start=start) -> str:
            return format_time(start + timedelta(seconds=seconds))

        store_logs(
            a_log(
                a_navigation(at(0), "home", "shop"),
                a_click(at(2), 52 + 40 * day, 11 + 20 * day),
                a_view(at(5), f"shoe-{day % 2}"),
                a_navigation(at(600), "shop", "cart"),
                a_click(at(610), 640, 400),
                user="ann",
                session=f"ann-{day}",
            ),
            a_log(a_view(at(1), "hat"), a_navigation(at(9), "shop", "home"), user="bob", session=f"bob-{day}"),
        )


def _log_in(visit: Visit) -> Page:
    return log_in(visit, "staff")


def _log_in_by_hand(visit: Visit) -> Page:
    page = visit.open("/admin/")
    page.get_by_label("Username").fill("staff")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    return page


@on_every_screen
def test_staff_log_in_search_and_read_a_log(visit, stored):
    page = _log_in_by_hand(visit)
    page.locator("#content").get_by_role("link", name="Logs", exact=True).last.click()
    page.get_by_label("User or session").fill("ann")
    page.get_by_role("button", name="Search").click()
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(5)
    assert has_no_sideways_scroll(page)
    # On a phone each row is a card: nothing of it is cut, nor scrolled to.
    assert page.locator(".results").evaluate("element => element.scrollWidth <= element.clientWidth")
    rows.first.get_by_role("link", name="ann-1").click()
    expect(page.locator(".timeline .entry")).to_have_count(5)
    expect(page.get_by_text("navigated from home to shop", exact=True)).to_be_visible()
    expect(page.locator(".after-a-pause .gap")).to_have_text("+9 min 55 s")
    expect(page.locator(".lanes circle")).to_have_count(5)
    page.locator(".timeline").get_by_text("JSON").first.click()
    expect(page.locator("pre", has_text='"pageFrom": "home", "pageTo": "shop"')).to_be_visible()
    assert has_no_sideways_scroll(page)


@on_every_screen
def test_insights_draws_every_chart(visit, stored):
    page = _log_in(visit)
    visit.open("/admin/insights/")
    expect(page.locator("#insights[data-ready=true]")).to_be_visible(timeout=30_000)
    for chart in CHARTS:
        expect(page.locator(f"#{chart}")).to_have_attribute("data-state", "drawn")
        assert _colours_drawn(page, chart) > 2, chart
    expect(page.locator("#totals .tiles a").first).to_have_text("35")
    page.locator("#views summary").click()
    expect(page.locator("#views table")).to_contain_text("hat")
    assert has_no_sideways_scroll(page)
    # Tooltips and the other colour scheme are drawn under the page's policy, too.
    page.locator("#activity canvas").hover()
    page.get_by_role("button", name="Toggle theme").first.click()
    assert _colours_drawn(page, "flow") > 2


def test_a_mark_leads_to_the_rows_behind_it(visit, stored):
    page = _log_in(visit)
    visit.open("/admin/insights/")
    expect(page.locator("#insights[data-ready=true]")).to_be_visible(timeout=30_000)
    chart = page.locator("#users canvas")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    # In the first of two bars, which begins right of the names.
    chart.click(position={"x": box["width"] * 0.4, "y": box["height"] * 0.25})
    page.wait_for_url("**/admin/logs/action/?*user=ann*")
    expect(page.locator("#result_list tbody tr")).to_have_count(25)


def test_the_clicks_of_one_page_can_be_chosen(visit, stored):
    page = _log_in(visit)
    visit.open("/admin/insights/")
    expect(page.locator("#insights[data-ready=true]")).to_be_visible(timeout=30_000)
    loaded = page.evaluate("performance.timeOrigin")
    page.locator("#page").select_option("=shop")
    expect(page.locator("#clicks .summary")).to_contain_text("5 clicks in squares of 20 px. Hottest square: x 80")
    expect(page.locator("#clicks")).to_have_attribute("data-state", "drawn")
    # The address is that of what is shown, and nothing else was loaded again.
    page.wait_for_url("**page=shop**")
    assert page.evaluate("performance.timeOrigin") == loaded
    page.locator("#page").select_option("*")
    expect(page.locator("#clicks .summary")).to_contain_text("10 clicks")
    page.reload()
    expect(page.locator("#clicks .summary")).to_contain_text("10 clicks")
    expect(page.locator("#page")).to_have_value("*")


@on_every_screen
def test_a_heatmap_is_as_wide_as_it_is_high_where_its_page_is(visit, stored):
    page = _log_in(visit)
    visit.open("/admin/insights/?page=cart")
    expect(page.locator("#clicks")).to_have_attribute("data-state", "drawn", timeout=30_000)
    grid = page.evaluate(
        """() => {
            const chart = echarts.getInstanceByDom(document.querySelector('#clicks .plot'));
            const [{width, height}, {size, left, right, top, bottom}] = [
                chart.getModel().getComponent('grid').coordinateSystem.getRect(),
                {size: 20, left: 0, right: 760, top: 0, bottom: 400}];
            return [width / ((right - left) / size + 1), height / ((bottom - top) / size + 1)];
        }"""
    )
    assert abs(grid[0] - grid[1]) < 0.1


def test_usual_ranges_are_one_click_away(visit, stored):
    page = _log_in(visit)
    visit.open("/admin/insights/")
    page.get_by_role("link", name="30 days").click()
    expect(page.locator(".ranges [aria-current]")).to_have_text("30 days")
    expect(page.locator("#insights[data-ready=true]")).to_be_visible(timeout=30_000)
    page.get_by_role("link", name="Earlier").click()
    expect(page.locator("#activity .summary")).to_contain_text("No actions in this period. There are actions from")
    page.get_by_role("link", name="Later").click()
    expect(page.locator("#activity .summary")).to_contain_text("35 actions")


def test_a_range_without_actions_says_so(visit, stored):
    page = _log_in(visit)
    visit.open("/admin/insights/?from=2001-01-01&to=2001-01-02")
    expect(page.locator("#insights[data-ready=true]")).to_be_visible(timeout=30_000)
    for chart in CHARTS:
        expect(page.locator(f"#{chart}")).to_have_attribute("data-state", "empty")
    expect(page.get_by_text("No views in this period.")).to_be_visible()


def test_a_chart_that_fails_says_why(visit, stored):
    page = _log_in(visit)
    why = "The database is away or too busy."
    body = {"success": False, "code": "STORE_UNAVAILABLE", "detail": why, "errors": []}
    page.route("**/views.json*", lambda route: route.fulfill(status=503, json=body))
    detail = "The end date is before the start date."
    errors = [{"code": "INVALID_PARAMETER", "parameter": "to", "detail": detail}]
    body_of_errors = {"success": False, "code": "INVALID_PARAMETER", "detail": detail, "errors": errors}
    page.route("**/users.json*", lambda route: route.fulfill(status=400, json=body_of_errors))
    page.route("**/flow.json*", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    visit.open("/admin/insights/")
    expect(page.locator("#insights[data-ready=true]")).to_be_visible(timeout=30_000)
    expect(page.locator("#views .state")).to_have_text(f"“Most viewed” could not be loaded. {why}")
    expect(page.locator("#users .state")).to_have_text(f"“Most active users” could not be loaded. to: {detail}")
    expect(page.locator("#flow .state")).to_contain_text("status 502")
    # The browser itself tells the console of every answer that is an error.
    assert len(visit.troubles) == 3
    visit.troubles.clear()
    page.unroute("**/views.json*")
    page.locator("#views").get_by_role("button", name="Try again").click()
    expect(page.locator("#views")).to_have_attribute("data-state", "drawn")
    expect(page.locator("#views .retry")).to_be_hidden()
    expect(page.locator("#flow .retry")).to_be_visible()


def test_an_action_can_be_opened(visit, stored):
    page = _log_in(visit)
    visit.open("/admin/logs/action/?user=ann&types=VIEW")
    page.locator("#result_list th a").first.click()
    expect(page.locator("pre.properties")).to_have_text('{ "viewedId": "shoe-1" }')
    expect(page.get_by_role("link", name="ann-5")).to_be_visible()


def test_what_users_sent_is_drawn_not_run(visit, stored):
    evil = "<img src=x onerror=alert(1)>{a|b}"
    now = format_time(timezone.now().replace(microsecond=0))
    store_logs(a_log(a_navigation(now, evil, evil), a_view(now, evil), a_click(now), user=evil, session=evil))
    page = _log_in(visit)
    visit.open("/admin/insights/")
    expect(page.locator("#insights[data-ready=true]")).to_be_visible(timeout=30_000)
    for chart in ("flow", "views", "users"):
        page.locator(f"#{chart} canvas").hover()
    page.locator("#users summary").click()
    expect(page.locator("#users table")).to_contain_text(evil)


def test_a_user_is_erased(visit, stored):
    page = _log_in(visit)
    visit.open("/admin/logs/log/?user=bob")
    page.get_by_role("link", name="Erase user").click()
    expect(page.get_by_text("10 actions", exact=True)).to_be_visible()
    page.get_by_label("Type bob to confirm").fill("bo")
    page.get_by_role("button", name="Erase user").click()
    expect(page.get_by_text("Nothing was deleted.")).to_be_visible()
    page.get_by_label("Type bob to confirm").fill("bob")
    page.get_by_role("button", name="Erase user").click()
    expect(page.get_by_text("The user was erased: 5 logs, 10 actions.").first).to_be_visible()
    assert set(Log.objects.values_list("user_id", flat=True)) == {"ann"}


@on_every_screen
def test_an_empty_store_is_explained(visit):
    a_staff_user("view_log", "view_action", password=PASSWORD)
    page = _log_in(visit)
    for path in ("/admin/logs/log/", "/admin/logs/action/", "/admin/insights/"):
        visit.open(path)
        expect(page.get_by_text("No logs yet")).to_be_visible()
        assert has_no_sideways_scroll(page)


def _colours_drawn(page: Page, chart: str) -> int:
    """How many colours there are in the canvas of a chart: one, or none, in an empty one."""
    return page.locator(f"#{chart} canvas").first.evaluate(
        """canvas => {
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
            copy.drawImage(canvas, 0, 0);
            const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
            return new Set(new Uint32Array(pixels.buffer)).size;
        }"""
    )


@on_every_screen
def test_a_new_key_is_copied_and_fits_the_screen(visit, db):
    User.objects.create_superuser("staff", password=PASSWORD)
    page = _log_in(visit)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.open("/admin/access/apikey/add/")
    page.get_by_label("Name").fill("Web shop")
    page.get_by_label("Scope").select_option("both")
    expect(page.get_by_label("Expires: date")).to_be_visible()
    expect(page.get_by_label("Expires: time")).to_be_visible()
    page.get_by_role("button", name="Save").first.click()
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#api-key").inner_text()
    assert has_no_sideways_scroll(page)

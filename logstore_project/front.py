"""The front page: what this is, that it runs, a first request to try, and where everything else is."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import path, reverse
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from logs import NAME, __version__
from logs.api.example import example_text
from logstore_project.pages import prefers_html

# Whose logs the button stores: nobody who could be a real user.
TRIAL_USER = "try-it"


# Nothing can be forged where nothing is changed: another method is a 405, not the 403 of a form without its token.
@method_decorator(csrf_exempt, name="dispatch")
class ReadOnlyView(View):
    http_method_names = ["get", "head", "options"]


class FrontView(ReadOnlyView):
    """A page for a browser, links as JSON for everybody else; neither shows anything that is stored."""

    def get(self, request: HttpRequest) -> HttpResponse:
        answer = self._page(request) if prefers_html(request) else JsonResponse(_links())
        patch_vary_headers(answer, ["Accept"])
        return answer

    def _page(self, request: HttpRequest) -> HttpResponse:
        context = {
            "name": NAME,
            "version": __version__,
            "is_open": settings.LOGSTORE_AUTH == "open",
            "batch": example_text(TRIAL_USER),
            "logs_url": request.build_absolute_uri(reverse("logs")),
            "trial_user": TRIAL_USER,
        }
        return render(request, "logs/front.html", context)


class FaviconView(ReadOnlyView):
    """For what asks at this URL unseen; our own pages name the icon."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(static("logs/favicon.ico"))


urlpatterns = [
    path("", FrontView.as_view(), name="front"),
    path("favicon.ico", FaviconView.as_view()),
]


def _links() -> dict[str, object]:
    return {
        "name": NAME,
        "version": __version__,
        "links": {
            "logs": reverse("logs"),
            "docs": reverse("docs"),
            "schema": reverse("schema"),
            "admin": reverse("admin:index"),
            "healthz": reverse("healthz"),
            "readyz": reverse("readyz"),
        },
    }

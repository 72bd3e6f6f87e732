"""The admin's site: Django's own, with Insights beside the models."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminToField
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods

from logs import NAME
from logs.access.addresses import client_address
from logs.access.rates import seconds_to_wait
from logs.api.exceptions import error_response
from logs.lib.errors import ErrorCode
from logs.store import maintenance

_is_id = re.compile("[0-9]{1,18}").fullmatch

ViewType = TypeVar("ViewType", bound=Callable[..., HttpResponseBase])

# Django's own pages take any other method for a GET.
_only_what_browsers_send = require_http_methods(["GET", "HEAD", "POST"])


class LogStoreAdminSite(admin.AdminSite):
    """The admin of the Logs Store."""

    site_header = site_title = NAME
    index_title = "Overview"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # Only now: logs.admin registers its models with the site, which must be there first.
        from logs.admin.insights import InsightsDataView, InsightsView

        return [
            path("insights/", self.admin_view(InsightsView.as_view(admin_site=self)), name="insights"),
            path("insights/<str:chart>.json", self.admin_view(InsightsDataView.as_view()), name="insights_data"),
            *super().get_urls(),
        ]

    def admin_view(self, view: ViewType, cacheable: bool = False) -> ViewType:
        """Wrap a page of the admin, which then refuses methods that no form has.

        It also refuses what Django itself answers with a 500: an empty `_to_field`, the choice of rows by what is no
        number, a text that is no id of a model whose ids are days, and a number that is too large for an id.
        """

        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if "" in (request.GET.get(TO_FIELD_VAR), request.POST.get(TO_FIELD_VAR)):
                raise DisallowedModelAdminToField("_to_field is empty")
            if not all(map(_is_id, request.POST.getlist(ACTION_CHECKBOX_NAME))):
                raise SuspiciousOperation("rows are chosen by what is no id")
            try:
                return view(request, *args, **kwargs)
            except ValidationError:
                raise Http404 from None
            except (OverflowError, DataError):
                raise SuspiciousOperation("a number is out of range") from None

        return _only_what_browsers_send(super().admin_view(cast(ViewType, checked), cacheable))

    @method_decorator(_only_what_browsers_send)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Log in, with LOGSTORE_RATE_LOGIN attempts for each client address.

        Every attempt counts, whatever the user's name: guessing many names is no cheaper, and nobody can lock an admin
        out from another address.
        """
        if request.method == "HEAD" and self.has_permission(request):
            # Where Django sends a GET.
            return HttpResponseRedirect(reverse("admin:index", current_app=self.name))
        rate = settings.LOGSTORE_RATE_LOGIN
        if request.method == "POST" and rate is not None:
            seconds = seconds_to_wait("login", client_address(request), rate, or_in_process=True)
            if seconds:
                return error_response(ErrorCode.THROTTLED, headers={"Retry-After": str(seconds)})
        return super().login(request, extra_context)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {"maintenance": maintenance.status(), **(extra_context or {})})

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        apps = super().get_app_list(request, app_label)
        # What people come for goes first; users and groups are for few.
        apps.sort(key=lambda app: app["app_label"] != "logs")
        for app in apps:
            if app["app_label"] != "logs":
                continue
            app["models"].sort(key=lambda model: model["object_name"] != "Log")
            if request.user.has_perms(["logs.view_log", "logs.view_action"]):
                app["models"].append(
                    {
                        "name": "Insights",
                        "object_name": "Insights",
                        "perms": {"view": True},
                        "admin_url": reverse("admin:insights", current_app=self.name),
                        "add_url": None,
                        "view_only": True,
                    }
                )
        return apps

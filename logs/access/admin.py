"""API keys in the admin: created and shown once, renamed, revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from logs.access import keys
from logs.access.models import ApiKey

if TYPE_CHECKING:
    # Generic in the stubs alone.
    _ModelAdmin = admin.ModelAdmin[ApiKey]
else:
    _ModelAdmin = admin.ModelAdmin


@admin.register(ApiKey)
class ApiKeyAdmin(_ModelAdmin):
    """API keys: everything about them but the keys themselves."""

    columns = ["name", "scope", "prefix", "created", "last_used", "expires", "revoked"]
    list_display = [*columns]
    list_filter = ["scope"]
    search_fields = ["name", "prefix"]
    ordering = ["-created"]
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        return ["name", "scope", "expires"] if obj is None else self.columns

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        return [] if obj is None else [name for name in self.columns if name != "name"]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "expires" and field is not None:
            # The field's label is not that of either of its two inputs.
            for widget, part in zip(field.widget.widgets, ("date", "time"), strict=True):
                widget.attrs["aria-label"] = f"Expires: {part}"
        return field

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Return False for everybody: a revoked key stays, so that the use of it can be traced."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: object, change: bool) -> None:
        if change:
            obj.save(update_fields=["name"])
        else:
            # Only a row that can be referred to: the secret that is shown is that of response_add.
            keys.issue(obj)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Give the key its secret and show it in the answer itself, in the transaction that has made the key.

        A message would be kept in a cookie or the session until it is seen.
        """
        context = {
            **self.admin_site.each_context(request),
            "title": "API key created",
            "opts": self.opts,
            "api_key": obj,
            "text": keys.issue(obj),
        }
        return TemplateResponse(request, "admin/access/apikey/created.html", context)

    @admin.action(description="Revoke selected API keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        count = keys.revoke(queryset)
        self.message_user(request, f"{count} API key{' was' if count == 1 else 's were'} revoked.")

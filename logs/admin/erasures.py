"""The erasures of users, found by the user's id, and how one is forgiven."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse

from logs.admin.base import ReadOnlyAdmin
from logs.models import ErasedUser
from logs.store import erasures


@admin.register(ErasedUser)
class ErasedUserAdmin(ReadOnlyAdmin):
    """What was erased, by whom and how much; to delete a row is to let the user's logs in again."""

    columns = ["time", "finished", "by", "action_count", "log_count", "key_count", "history_count"]
    list_display = [*columns]
    fields = [*columns]
    ordering = ["-id"]
    search_fields = ["digest"]
    search_help_text = "The whole id of a user: shows whether this user is erased."
    # A row tells nobody whose it is: they are forgiven one by one.
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("logs.delete_eraseduser")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        # The page has a button of its own for it.
        return super().change_view(request, object_id, form_url, {"show_delete": False})

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        return super().delete_view(request, object_id, {"title": "Forgive erasure"})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ErasedUser], search_term: str
    ) -> tuple[QuerySet[ErasedUser], bool]:
        # The term comes stripped; of an id that has spaces around it the command knows.
        return (queryset & erasures.of_user(search_term) if search_term else queryset), False

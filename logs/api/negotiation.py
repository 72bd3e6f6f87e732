"""Which format comes in and which goes out: by the letter of the content type, and by what the client prefers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.utils.http import parse_header_parameters
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class ContentNegotiation(BaseContentNegotiation):
    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser of the body's content type, the first one where there is none; None for another charset."""
        try:
            media_type, parameters = parse_header_parameters(request.content_type)
        except ValueError:
            return None
        if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
            return None
        return next((parser for parser in parsers if media_type.lower() in ("", parser.media_type)), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer that `format` names, otherwise the one that `Accept` prefers, with its media type.

        Raises NotAcceptable when the client takes none of them. A `format` that does not exist is left to the query.
        """
        choice = list(renderers)
        if not request.META.get("QUERY_STRING") and request.META.get("HTTP_ACCEPT", "*/*") == "*/*":
            # Most programs ask like this: what follows would take longer than the choice is worth.
            return choice[0], choice[0].media_type
        wanted = request.query_params.get("format")
        chosen = next((renderer for renderer in choice if renderer.format == wanted), None)
        if chosen is None:
            preferred = _preferred_type(request, [renderer.media_type for renderer in choice])
            chosen = next((renderer for renderer in choice if renderer.media_type == preferred), None)
        if chosen is None:
            raise NotAcceptable(available_renderers=choice)
        return chosen, chosen.media_type


def _preferred_type(request: Request, media_types: Sequence[str]) -> str | None:
    try:
        accepted_types = request.accepted_types
    except ValueError:
        return None
    for accepted in accepted_types:
        # Neither format has parameters to choose by: `application/json; charset=utf-8` wants JSON.
        accepted.range_params = {}
    return request.get_preferred_type(media_types)

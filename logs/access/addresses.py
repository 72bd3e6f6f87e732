"""The address of whoever sent a request."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

# What one subscriber is usually given: https://www.rfc-editor.org/rfc/rfc6177
IPV6_PREFIX_LENGTH = 64


def client_address(request: HttpRequest) -> str:
    """Return an IPv4 address or an IPv6 network of 64 bits, within which a client may choose any address it likes.

    Behind the proxy it is the last entry of X-Forwarded-For, which the proxy wrote; the entries before it, and all of
    them where there is no proxy, are the client's own claim.
    """
    seen = request.META.get("REMOTE_ADDR", "")
    if settings.LOGSTORE_BEHIND_PROXY:
        seen = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or seen
    try:
        address = ip_address(seen)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, IPV6_PREFIX_LENGTH), strict=False).network_address)
    return str(address)

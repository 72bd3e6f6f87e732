"""Who may call: API keys, kept as hashes."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Scope(models.TextChoices):
    """What a key is for."""

    INGEST = "ingest", "ingest: POST only"
    READ = "read", "read: GET only"
    BOTH = "both", "both"


class ApiKey(models.Model):
    """A key that was handed out: everything about it but the key itself."""

    name = models.CharField(
        max_length=100,
        validators=[RegexValidator(r"\A[^\x00-\x1f\x7f]+\Z", "A name must not hold control characters.")],
        help_text="Who or what the key is for.",
    )
    scope = models.CharField(max_length=6, choices=Scope.choices)
    # Unique: every request with a key looks it up by its prefix.
    prefix = models.CharField(max_length=15, unique=True, help_text="The start of the key, which tells it from others.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the whole key, in hexadecimal.")
    created = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True, blank=True, help_text="Within a minute.")
    expires = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    revoked = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        constraints = [models.CheckConstraint(condition=Q(scope__in=Scope.values), name="api_key_scope_is_known")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def is_live(self) -> bool:
        return self.revoked is None and (self.expires is None or self.expires > timezone.now())

    def allows(self, scope: Scope) -> bool:
        return self.scope in (scope, Scope.BOTH)

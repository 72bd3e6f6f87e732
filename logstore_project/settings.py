"""Settings, each from the environment; `.env.example` explains them."""

from __future__ import annotations

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from logstore_project.env import BASE_DIR, env

# --- Start -----------------------------------------------------------------------------------------------------------

SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY is not set: put a long random string into the environment or .env.")
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

# --- The log store ---------------------------------------------------------------------------------------------------

LOGSTORE_AUTH = env.str("LOGSTORE_AUTH", default="keys")
if LOGSTORE_AUTH not in ("keys", "open"):
    raise ImproperlyConfigured("LOGSTORE_AUTH must be keys or open.")
LOGSTORE_ANY_OFFSET = env.bool("LOGSTORE_ANY_OFFSET", default=False)
LOGSTORE_MAX_BODY_BYTES = env.int("LOGSTORE_MAX_BODY_BYTES", default=20 * 1024 * 1024)

# --- Database --------------------------------------------------------------------------------------------------------

DATABASES = {
    "default": dj_database_url.config(
        default=f"sqlite:///{BASE_DIR / 'logstore.sqlite3'}", conn_max_age=600, conn_health_checks=True
    )
}
_database = DATABASES["default"]
_options = _database.setdefault("OPTIONS", {})
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # https://www.sqlite.org/pragma.html; synchronous=FULL makes every commit durable in WAL mode, and an immediate
    # transaction waits for the writer before it reads, so that it never fails half-way as locked.
    _options.setdefault("init_command", "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
    _options.setdefault("transaction_mode", "IMMEDIATE")
    _options.setdefault("timeout", 20)
    # A file, because an in-memory database that threads share neither waits nor has a WAL.
    _database["TEST"] = {"NAME": BASE_DIR / "test.sqlite3"}
else:
    _options.setdefault("connect_timeout", 5)

# --- Applications ----------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    # Before the admin, whose templates it has some of its own for.
    "logs.apps.LogsConfig",
    "logs.apps.LogStoreAdminConfig",
    "django.contrib.auth",
    "django.contrib.humanize",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_filters",
    "rest_framework",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "logs.security.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "logs.compression.CompressionMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "logstore_project.urls"
WSGI_APPLICATION = "logstore_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "logs.negotiation.ContentNegotiation",
    "EXCEPTION_HANDLER": "logs.errors.answer_exception",
    "UNAUTHENTICATED_USER": None,
}

# --- Time, language, static files ------------------------------------------------------------------------------------

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

# --- Security --------------------------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
CSRF_FAILURE_VIEW = "logs.errors.permission_denied"

# --- Log lines -------------------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"django": {"handlers": [], "level": "WARNING", "propagate": True}},
}

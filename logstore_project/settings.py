"""Settings, each from the environment; `.env.example` explains them."""

from __future__ import annotations

from csp import constants as csp

from logs import NAME, __version__
from logstore_project import env
from logstore_project.logging import FORMATTERS

# --- Start -----------------------------------------------------------------------------------------------------------

SECRET_KEY = env.SECRET_KEY
SECRET_KEY_FALLBACKS = env.SECRET_KEY_FALLBACKS
DEBUG = env.DEBUG
ALLOWED_HOSTS = env.ALLOWED_HOSTS
PORT = env.PORT

# --- The store ---------------------------------------------------------------------------------------------------

LOGSTORE_AUTH = env.AUTH
LOGSTORE_ANY_OFFSET = env.ANY_OFFSET
LOGSTORE_MAX_BODY_BYTES = env.MAX_BODY_BYTES

LOGSTORE_RETENTION = env.RETENTION
LOGSTORE_BACKUP_DIR = env.BACKUP_DIR
LOGSTORE_BACKUP_DAYS = env.BACKUP_DAYS

# For every body but one of logs: Django takes 1,000 fields of a form, and hardly one of the admin's needs 1 KiB.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
# No form has a file: one that comes is read over, never written to disk.
FILE_UPLOAD_HANDLERS: list[str] = []

# --- Behind a reverse proxy ------------------------------------------------------------------------------------------

# One proxy that ends HTTPS, sets X-Forwarded-Proto and appends to X-Forwarded-For. Without it nothing here is on, so
# that a store on this machine alone works over plain HTTP.
LOGSTORE_BEHIND_PROXY = env.BEHIND_PROXY
if LOGSTORE_BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = env.HSTS_SECONDS
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = env.HSTS_SUBDOMAINS
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

# --- Rate limits and cache -------------------------------------------------------------------------------------------

# (how many, in how many seconds) for each API key, for each IP address where there is none; None is no limit.
LOGSTORE_RATE_INGEST = env.RATE_INGEST
LOGSTORE_RATE_READ = env.RATE_READ
LOGSTORE_RATE_LOGIN = env.RATE_LOGIN

_in_process = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    # A counter that is dropped for want of room starts again from nothing.
    "OPTIONS": {"MAX_ENTRIES": 100_000},
}
CACHES = {
    "default": {
        "BACKEND": "logstore_project.cache.ForgivingRedisCache",
        "LOCATION": env.REDIS_URL,
        "KEY_PREFIX": "logstore",
    }
    if env.REDIS_URL
    else _in_process,
    "process": _in_process,
}

# --- Database --------------------------------------------------------------------------------------------------------

DATABASES = {
    "default": env.DATABASE,
    **{f"replica{number}": replica for number, replica in enumerate(env.DATABASE_REPLICAS, start=1)},
}
for _alias, _database in DATABASES.items():
    _options = _database.setdefault("OPTIONS", {})
    if _database["ENGINE"] == "django.db.backends.sqlite3":
        # https://www.sqlite.org/pragma.html; synchronous=FULL makes every commit durable in WAL mode, and an immediate
        # transaction waits for the writer before it reads, so that it never fails half-way as locked.
        _options.setdefault("init_command", "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
        _options.setdefault("transaction_mode", "IMMEDIATE")
        _options.setdefault("timeout", env.SQLITE_TIMEOUT)
        # A file, because an in-memory database that threads share neither waits nor has a WAL.
        _database["TEST"] = {"NAME": env.BASE_DIR / "test.sqlite3"}
    else:
        _database["ENGINE"] = "logstore_project.postgresql"
        _options.setdefault("connect_timeout", 5)
        # A host that falls silent is given up after half a minute; the kernel alone would wait for a quarter of an
        # hour. https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES
        # A replica is given up earlier: others can answer.
        _options.setdefault("tcp_user_timeout", 30_000 if _alias == "default" else 5_000)
        _options.setdefault("keepalives_idle", 15)
        _options.setdefault("keepalives_interval", 5)
        _options.setdefault("keepalives_count", 3)
        if _alias != "default":
            _database["TEST"] = {"MIRROR": "default"}
LOGSTORE_REPLICAS = [alias for alias in DATABASES if alias != "default"]
LOGSTORE_REPLICA_MAX_LAG = env.REPLICA_MAX_LAG
if LOGSTORE_REPLICAS:
    DATABASE_ROUTERS = ["logs.lib.replicas.ReplicaRouter"]
# How many requests of a process may wait for what is not stored yet: the other threads are for those that need not.
LOGSTORE_MAX_WAITING = env.WEB_THREADS // 2
# In seconds, and for the processes that serve requests; 0 is no limit.
LOGSTORE_STATEMENT_TIMEOUT = env.STATEMENT_TIMEOUT
LOGSTORE_LOCK_TIMEOUT = env.LOCK_TIMEOUT
LOGSTORE_IDLE_TRANSACTION_TIMEOUT = env.IDLE_TRANSACTION_TIMEOUT

# --- Applications ----------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    # Before the admin, whose templates it has some of its own for.
    "logs.apps.LogsConfig",
    "logstore_project.apps.LogStoreAdminConfig",
    "django.contrib.auth",
    "django.contrib.humanize",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_filters",
    "rest_framework",
    "corsheaders",
    "csp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "logs.access",
]
MIDDLEWARE = [
    "logstore_project.middleware.RequestMiddleware",
    "logstore_project.middleware.ErrorBodyMiddleware",
    "logstore_project.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "logstore_project.pages.PagePolicy",
    "corsheaders.middleware.CorsMiddleware",
    "logstore_project.pages.PageStatic",
    "logstore_project.middleware.CompressionMiddleware",
    "logstore_project.middleware.ErrorPageMiddleware",
    "logstore_project.middleware.FormSizeMiddleware",
    "logstore_project.pages.PageSession",
    "logstore_project.pages.PageCommon",
    "logstore_project.pages.PageCsrf",
    "logstore_project.pages.PageUser",
    "logstore_project.pages.PageMessages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
# It looks for the middleware against forgery by its own name, not by that of the subclass above.
SILENCED_SYSTEM_CHECKS = ["security.W003"]
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
    "DEFAULT_AUTHENTICATION_CLASSES": ["logs.access.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["logs.access.permissions.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["logs.access.throttling.RateLimit"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "logs.api.negotiation.ContentNegotiation",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    # Those of the OpenAPI document: without a list, what `?version=` says would go into a header.
    "ALLOWED_VERSIONS": [__version__],
    "EXCEPTION_HANDLER": "logs.api.exceptions.answer_exception",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": NAME,
    "DESCRIPTION": "Stores what users do, in logs of actions, and gives it back by user, time and type.",
    "VERSION": __version__,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    # Anybody may know what the store takes; it says nothing of what is in it.
    "SERVE_AUTHENTICATION": [],
    "PREPROCESSING_HOOKS": ["logs.api.schema.operations.without_aliases"],
    # As they are declared: what most callers need comes first.
    "SORT_OPERATION_PARAMETERS": False,
    "POSTPROCESSING_HOOKS": ["logs.api.schema.components.add_components", "logs.api.schema.links.add_links"],
    # From our own static files, never another host's.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "displayOperationId": True,
        "validatorUrl": None,
        "tryItOutEnabled": True,
        "defaultModelsExpandDepth": 0,
        # A long answer would keep the tab busy for minutes.
        "syntaxHighlight": False,
    },
}

# --- Time, language, static files ------------------------------------------------------------------------------------

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
STATIC_URL = "static/"
STATIC_ROOT = env.BASE_DIR / "staticfiles"
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
CSRF_FAILURE_VIEW = "logs.api.exceptions.permission_denied"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [csp.SELF],
        "script-src": [csp.SELF],
        "style-src": [csp.SELF],
        "img-src": [csp.SELF, "data:"],
        "object-src": [csp.NONE],
        "base-uri": [csp.SELF],
        "form-action": [csp.SELF],
        "frame-ancestors": [csp.NONE],
    }
}

# --- Browsers of other origins ---------------------------------------------------------------------------------------

CORS_ALLOW_ALL_ORIGINS = "*" in env.CORS_ORIGINS
CORS_ALLOWED_ORIGINS = [origin for origin in env.CORS_ORIGINS if origin != "*"]
CORS_URLS_REGEX = r"^/logs/?$"
CORS_ALLOW_METHODS = ["GET", "HEAD", "POST", "OPTIONS"]
CORS_ALLOW_HEADERS = [
    "accept", "authorization", "cache-control", "content-encoding", "content-type", "idempotency-key", "if-none-match",
    "x-request-id",
]  # fmt: skip
CORS_EXPOSE_HEADERS = ["ETag", "Link", "Retry-After", "X-Request-ID"]

# --- Log lines -------------------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": FORMATTERS[env.LOG_FORMAT]}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "django": {"handlers": [], "level": "WARNING", "propagate": True},
        # A refusal has its line in the access log already.
        "django.request": {"handlers": [], "level": "ERROR", "propagate": True},
        # The development server's access log, which would say the query.
        "django.server": {"handlers": [], "level": "CRITICAL", "propagate": False},
        "logstore.access": {"level": "INFO"},
    },
}

# make run     the store at http://127.0.0.1:8000, ready to use
# make test    the tests, on DATABASE_URL's kind of database; make test ARGS="-k login" some of them
# make lint    style, types, and which module may import which
# make benchmark    how fast the store is over HTTP, beside other builds of the same routes, on a PostgreSQL server
# make manage do="createsuperuser"    any command of manage.py, with the same settings as make run

PYTHON ?= python3
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py

# Tests wait for processes and databases as much as they compute; a worker that is done takes over what others have left.
PARALLEL ?= --numprocesses=3 --dist=worksteal

# A secret of this folder's own, for these targets alone; every other start asks for SECRET_KEY.
LOCAL_SECRET = if [ -z "$$SECRET_KEY" ] && ! grep -qs '^SECRET_KEY=.' .env; then \
	export SECRET_KEY="$$(cat .secret_key)"; fi
# Nobody is asked for a key on this machine, unless the environment or .env says otherwise.
LOCAL_AUTH = if [ -z "$$LOGSTORE_AUTH" ] && ! grep -qs '^LOGSTORE_AUTH=.' .env; then export LOGSTORE_AUTH=open; fi

.PHONY: run test lint benchmark manage setup

run: setup
	@$(LOCAL_SECRET); $(LOCAL_AUTH); \
	$(MANAGE) migrate --verbosity 0 && \
	exec $(BIN)/gunicorn --config python:logstore_project.gunicorn_conf logstore_project.wsgi

test: setup
	@$(LOCAL_SECRET); exec $(BIN)/pytest $(PARALLEL) $(ARGS)

benchmark: setup
	@$(LOCAL_SECRET); exec $(BIN)/python -m benchmarks.http $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(LOCAL_SECRET); $(BIN)/mypy
	$(BIN)/lint-imports

manage: setup
	@$(LOCAL_SECRET); $(LOCAL_AUTH); exec $(MANAGE) $(do)

setup: .venv/ready .secret_key staticfiles/ready

.venv/ready: requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	@touch $@

staticfiles/ready: .venv/ready $(shell find logs/static -type f 2>/dev/null) | .secret_key
	@$(LOCAL_SECRET); $(MANAGE) collectstatic --no-input --verbosity 0
	@touch $@

.secret_key: | .venv/ready
	@umask 077 && $(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(48))' > $@

# Logs Store
#
#   make run          the store at http://127.0.0.1:8000, ready to use; PORT=8080 make run takes another port
#   make test         the tests, on DATABASE_URL's kind of database; make test ARGS="-k login" some of them
#   make lint         style, types, and which module may import which
#   make fuzz         looks for inputs that break a parser; ARGS="--seconds 600 json query" some, and for longer
#   make benchmark    how fast the store is over HTTP, beside other builds of the same routes, on a PostgreSQL server
#   make setup        what all of them need, and do first: .venv, a secret of this folder's own, static files
#
# After `make run` or `make setup`, `. .venv/bin/activate` once in a terminal makes every `python manage.py …` work there.

PYTHON ?= python3
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py

# Tests wait for processes and databases as much as they compute; a worker that is done takes over what others have left.
PARALLEL ?= --numprocesses=3 --dist=worksteal

# Nobody is asked for a key on this machine, unless the environment or .env says otherwise.
LOCAL_AUTH = if [ -z "$$LOGSTORE_AUTH" ] && ! grep -qs '^LOGSTORE_AUTH=.' .env; then export LOGSTORE_AUTH=open; fi

.PHONY: help run test lint fuzz benchmark setup

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

run: setup
	@$(LOCAL_AUTH); \
	$(MANAGE) migrate --verbosity 0 && \
	$(MANAGE) welcome && \
	exec $(BIN)/gunicorn --config python:logstore_project.gunicorn_conf logstore_project.wsgi

test: setup
	@[ -z "$$CITUS_URL" ] || export DATABASE_URL="$$CITUS_URL"; exec $(BIN)/pytest $(PARALLEL) $(ARGS)

fuzz: setup
	@exec $(BIN)/python -m tests.fuzz $(ARGS)

benchmark: setup
	@exec $(BIN)/python -m benchmarks.http $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: .venv/ready .secret_key staticfiles/ready

.venv/ready: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("The store needs Python 3.11 or newer, and this is " \
		+ sys.version.split()[0] + ". Name another one: PYTHON=python3.13 make run")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	@touch $@

staticfiles/ready: .venv/ready $(shell find logs/static -type f 2>/dev/null) | .secret_key
	@$(MANAGE) collectstatic --no-input --verbosity 0
	@touch $@

.secret_key: | .venv/ready
	@umask 077 && $(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(48))' > $@

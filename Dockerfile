# The store, with what it needs to run and nothing else. docs/how-to/deploy.md says how to use it.
FROM python:3.13-slim AS build
WORKDIR /srv/logstore
COPY requirements.txt ./
RUN python -m venv --without-pip .venv && \
    python -m pip --python .venv/bin/python install --no-cache-dir --require-hashes --requirement requirements.txt
COPY manage.py ./
COPY logs logs
COPY logstore_project logstore_project
# The settings ask for a key, which this step does not use and which stays nowhere.
RUN SECRET_KEY=unused .venv/bin/python manage.py collectstatic --no-input --verbosity 0 && \
    .venv/bin/python -m compileall -q manage.py logs logstore_project

FROM python:3.13-slim
WORKDIR /srv/logstore
COPY --from=build /srv/logstore ./
# The only folder that is written to, but for /tmp; a volume that is mounted there takes its owner over.
RUN mkdir /data && chown 10001:10001 /data
USER 10001:10001
ENV PATH=/srv/logstore/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    DATABASE_URL=sqlite:////data/logstore.sqlite3
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["gunicorn", "--config", "python:logstore_project.gunicorn_conf", "--bind", "0.0.0.0:8000", "logstore_project.wsgi"]

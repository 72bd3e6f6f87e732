"""The files that others deploy the store with: what they start is there, may do little, and is given its settings."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster import skip_or_fail

PROJECT = Path(__file__).resolve().parent.parent
BINARIES = Path(sys.executable).parent
SECRETS = {"SECRET_KEY": "a-secret-of-the-tests", "POSTGRES_PASSWORD": "password"}
# Those that each way to deploy sets by itself, or that are for development.
NOT_HANDED_ON = {"DEBUG", "PORT", "DATABASE_URL", "LOGSTORE_SQLITE_TIMEOUT", "PROMETHEUS_MULTIPROC_DIR"}
# Those of maintain alone.
OF_THE_NIGHT = {"LOGSTORE_BACKUP_DIR", "LOGSTORE_BACKUP_DAYS", "LOGSTORE_RETENTION"}


def known_settings():
    return set(re.findall(r"^(?:# )?([A-Z_]+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE))


# --- Requirements ----------------------------------------------------------------------------------------------------


def pins(name):
    """Return the version of each package that a file pins."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", (PROJECT / name).read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_compiled_requirements_are_up_to_date_with_their_list(name):
    assert pins(f"{name}.in")
    assert pins(f"{name}.in").items() <= pins(f"{name}.txt").items()


def test_the_tests_run_on_the_versions_that_are_deployed():
    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()
    assert not pins("requirements-dev.in").keys() & pins("requirements.txt").keys() - {"pyyaml", "typing-extensions"}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_has_hashes_and_none_says_where_it_is_downloaded(name):
    text = (PROJECT / name).read_text()
    requirements = re.split(r"^(?=[A-Za-z])", text, flags=re.MULTILINE)[1:]
    # One package may have several versions, each for other Pythons.
    assert {re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower() for requirement in requirements} == pins(name).keys()
    assert [requirement for requirement in requirements if "--hash=sha256:" not in requirement] == []
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)


# --- The image -------------------------------------------------------------------------------------------------------


def image_user():
    return re.findall(r"^USER (\d+):", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)


def test_the_image_runs_as_a_user_who_is_not_root():
    assert image_user() == ["10001"]


def test_each_way_to_deploy_takes_the_same_python():
    version = (PROJECT / ".python-version").read_text().strip()
    images = set(re.findall(r"^FROM (\S+)", (PROJECT / "Dockerfile").read_text(), re.MULTILINE))
    assert images == {f"python:{version}-slim"}


# --- compose.yaml ----------------------------------------------------------------------------------------------------


@pytest.fixture
def compose(tmp_path):
    """Return what `docker-compose config` makes of compose.yaml, or its refusal; `.env` is one of the tests' own."""
    if shutil.which("docker-compose") is None:
        skip_or_fail("docker-compose is not installed")
    (tmp_path / "deploy").mkdir()
    shutil.copy(PROJECT / "compose.yaml", tmp_path)

    def config(**settings):
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        return subprocess.run(
            ["docker-compose", "config"], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=60
        )

    return config


def services(done):
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


def test_compose_takes_its_file(compose):
    done = compose(**SECRETS)
    assert set(services(done)) == {"postgres", "migrate", "store", "nightly", "nginx"}
    assert done.stderr == ""


@pytest.mark.parametrize("missing", SECRETS)
def test_compose_says_which_secret_is_missing(compose, missing):
    done = compose(**{name: value for name, value in SECRETS.items() if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr
    assert "into .env" in done.stderr


def test_compose_hands_every_setting_of_the_store_on(compose):
    given = dict.fromkeys(known_settings() - NOT_HANDED_ON - OF_THE_NIGHT, "given") | SECRETS
    found = services(compose(**given))
    for name in ("migrate", "store", "nightly"):
        settings = found[name]["environment"]
        assert given.items() - settings.items() == {("POSTGRES_PASSWORD", "password")}
        assert settings["DATABASE_URL"] == "postgres://logstore:password@postgres/logstore"
        assert settings.keys() <= known_settings()
    assert found["nightly"]["environment"].keys() >= OF_THE_NIGHT


def test_a_service_of_compose_has_no_right_that_it_does_not_need(compose):
    for service in services(compose(**SECRETS)).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "cap_add" not in service
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_only_the_proxy_of_compose_can_be_reached_and_from_this_machine_alone(compose):
    found = services(compose(**SECRETS))
    assert [name for name, service in found.items() if "ports" in service] == ["nginx"]
    assert "127.0.0.1" in str(found["nginx"]["ports"])


def test_the_store_starts_once_the_database_has_its_tables(compose):
    needs = services(compose(**SECRETS))["store"]["depends_on"]
    conditions = {name: need["condition"] for name, need in needs.items()}
    assert conditions == {"postgres": "service_healthy", "migrate": "service_completed_successfully"}


# --- systemd ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path):
    """The units, as they would be for a store that is where this one is."""
    if shutil.which("systemd-analyze") is None:
        skip_or_fail("systemd-analyze is not installed")
    for file in (PROJECT / "deploy").glob("logstore*.*"):
        here = file.read_text().replace("/srv/logstore/.venv/bin", str(BINARIES)).replace("/srv/logstore", str(PROJECT))
        (tmp_path / file.name).write_text(here)
    return tmp_path


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_systemd_takes_the_units(units):
    files = sorted(units.iterdir())
    assert [file.name for file in files] == ["logstore-nightly.service", "logstore-nightly.timer", "logstore.service"]
    done = analyze("verify", "--man=no", *files)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["logstore.service", "logstore-nightly.service"])
def test_a_unit_has_few_rights(units, name):
    # Of 100; an ordinary service has 96.
    done = analyze("security", "--offline=true", "--threshold=15", "--no-pager", units / name)
    assert done.returncode == 0, done.stdout


# --- Kubernetes ------------------------------------------------------------------------------------------------------


def manifests():
    return list(yaml.safe_load_all((PROJECT / "deploy/kubernetes.yaml").read_text()))


def pods():
    for manifest in manifests():
        spec = manifest["spec"].get("jobTemplate", manifest)["spec"] if "spec" in manifest else {}
        if "template" in spec:
            yield spec["template"]["spec"]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_a_probe_of_kubernetes_is_answered_though_it_names_the_pods_address(client, settings, kind):
    settings.ALLOWED_HOSTS = ["logs.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    (deployment,) = (manifest for manifest in manifests() if manifest["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    path = container[kind]["httpGet"]["path"]
    assert client.get(path, headers={"host": "10.1.2.3:8000"}).json() == {"status": "ok"}


def test_a_pod_has_no_right_that_it_does_not_need():
    found = list(pods())
    assert len(found) == 3
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert [str(pod["securityContext"]["runAsUser"])] == image_user()
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_the_pods_are_given_settings_that_there_are():
    (config,) = (manifest for manifest in manifests() if manifest["kind"] == "ConfigMap")
    own = {variable["name"] for pod in pods() for box in pod["containers"] for variable in box.get("env", [])}
    assert config["data"].keys() <= known_settings()
    assert own <= OF_THE_NIGHT


# --- Heroku-style platforms ------------------------------------------------------------------------------------------


def app():
    return json.loads((PROJECT / "app.json").read_text())


def test_the_platforms_build_has_a_secret_before_it_begins():
    assert app()["env"]["SECRET_KEY"]["generator"] == "secret"
    assert app()["env"].keys() <= known_settings()


def test_the_platforms_threads_fit_into_its_database_plan():
    settings = {name: entry.get("value") for name, entry in app()["env"].items()}
    connections = (
        int(settings["WEB_CONCURRENCY"]) * int(settings["WEB_THREADS"]) * app()["formation"]["web"]["quantity"]
    )
    # https://devcenter.heroku.com/articles/heroku-postgres-plans: 20 connections; the release's migration takes one.
    assert [addon["plan"] for addon in app()["addons"]] == ["heroku-postgresql:essential-0"]
    assert connections < 20


def test_the_procfile_starts_what_is_there():
    lines = dict(line.split(": ", 1) for line in (PROJECT / "Procfile").read_text().splitlines())
    assert lines.keys() == {"release", "web"} >= app()["formation"].keys()
    release, web = (shlex.split(lines[name]) for name in ("release", "web"))
    assert release[:3] == ["python", "manage.py", "migrate"]
    assert (BINARIES / web[0]).exists()

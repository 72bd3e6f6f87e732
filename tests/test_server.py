"""The store as it is served: gunicorn as a process, over real connections."""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse

import pytest

from tests.builders import a_log, a_view, gzipped, some_logs, stored_actions, stored_logs
from tests.server import PROJECT, Server, environment, start_command

MAX_BODY_BYTES = 1_000_000
JSON = {"Content-Type": "application/json"}
EXAMPLE = """[{"userId": "ABC123XYZ", "sessionId": "XYZ456ABC", "actions": [
  {"time": "2018-10-18T21:37:28-06:00", "type": "CLICK",    "properties": {"locationX": 52, "locationY": 11}},
  {"time": "2018-10-18T21:37:30-06:00", "type": "VIEW",     "properties": {"viewedId": "FDJKLHSLD"}},
  {"time": "2018-10-18T21:37:30-06:00", "type": "NAVIGATE",
   "properties": {"pageFrom": "communities", "pageTo": "inventory"}}]}]
"""
LINE = json.dumps(a_log(a_view())).encode() + b"\n"
# On any port that is free.
ANYWHERE = start_command("logstore_project.wsgi", "--bind", "127.0.0.1:0")


@pytest.fixture(scope="module")
def running(tmp_path_factory, django_db_setup, django_db_blocker):
    log = tmp_path_factory.mktemp("server") / "log"
    with django_db_blocker.unblock(), Server(log, WEB_CONCURRENCY=1, LOGSTORE_MAX_BODY_BYTES=MAX_BODY_BYTES) as server:
        yield server


@pytest.fixture
def server(running, transactional_db):
    return running


def head(content_type: str, *lines: str) -> bytes:
    return "\r\n".join(
        ["POST /logs/ HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}", *lines, "", ""]
    ).encode()


CHUNKED = head("application/x-ndjson", "Transfer-Encoding: chunked")


def a_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_the_example_of_the_contract(server):
    answer = server.request("POST", "/logs/", EXAMPLE, JSON)
    assert (answer.status, answer.json()) == (200, {"success": True, "stored": 3, "duplicates": 0})
    answer = server.request("GET", "/logs/")
    assert (answer.status, answer.json()) == (200, json.loads(EXAMPLE))


def test_a_body_without_a_content_type(server):
    assert server.send_bytes(
        b"POST /logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(EXAMPLE), EXAMPLE.encode())
    ).json() == {"success": True, "stored": 3, "duplicates": 0}


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_a_body_in_chunks(server, size):
    chunks = [EXAMPLE.encode()[start : start + size] for start in range(0, len(EXAMPLE), size)]
    assert server.request("POST", "/logs/", iter(chunks), JSON, chunked=True).json()["stored"] == 3
    assert server.request("GET", "/logs/").json() == json.loads(EXAMPLE)


def test_a_gzipped_body_in_chunks(server):
    headers = {**JSON, "Content-Encoding": "gzip"}
    answer = server.request("POST", "/logs/", iter([gzipped(EXAMPLE.encode())]), headers, chunked=True)
    assert answer.json()["stored"] == 3


def test_a_chunked_body_of_nothing_has_no_logs(server):
    answer = server.send_bytes(CHUNKED + b"0\r\n\r\n")
    assert (answer.status, answer.json()["code"]) == (400, "NO_LOGS_PROVIDED")


@pytest.mark.parametrize(
    "body",
    [
        a_chunk(LINE),
        a_chunk(LINE) + b"0\r\n",
        a_chunk(LINE) + b"ffff\r\n" + LINE,
        a_chunk(LINE) + b"zz\r\n",
        a_chunk(LINE) + b"-1\r\n",
        a_chunk(LINE) + b"3\r\nabcd\r\n0\r\n\r\n",
        a_chunk(LINE) + b"0\r\nno trailer\r\n\r\n",
        a_chunk(LINE) + b"0\r\nA: b\nC: d\r\n\r\n",
    ],
    ids=["no last chunk", "no end", "cut", "no size", "negative size", "wrong size", "bad trailer", "bare line feed"],
)
def test_broken_chunks_store_nothing(server, body):
    answer = server.send_bytes(CHUNKED + body)
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_JSON")
    assert stored_logs() == 0


@pytest.mark.parametrize("extra", [1, 100, 900_000])
def test_a_body_shorter_than_announced_stores_nothing(server, extra):
    answer = server.send_bytes(head("application/x-ndjson", f"Content-Length: {len(LINE) + extra}") + LINE)
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_JSON")
    assert stored_logs() == 0


def test_a_gzipped_body_shorter_than_announced_stores_nothing(server):
    body = gzipped(LINE)
    answer = server.send_bytes(
        head("application/x-ndjson", "Content-Encoding: gzip", f"Content-Length: {len(body) + 50}") + body
    )
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_JSON")
    assert stored_logs() == 0


def test_a_body_that_announces_too_much_is_refused_before_it_comes(server):
    answer = server.send_bytes(head("application/json", f"Content-Length: {MAX_BODY_BYTES + 1}"))
    assert (answer.status, answer.json()["code"]) == (413, "BODY_TOO_LARGE")


def test_a_chunked_body_over_the_limit_is_refused(server):
    answer = server.send_bytes(
        head("application/json", "Transfer-Encoding: chunked") + a_chunk(b" " * (MAX_BODY_BYTES + 1)) + b"0\r\n\r\n"
    )
    assert (answer.status, answer.json()["code"]) == (413, "BODY_TOO_LARGE")


def test_a_body_that_grows_over_the_limit_is_refused(server):
    headers = {**JSON, "Content-Encoding": "gzip"}
    answer = server.request("POST", "/logs/", gzipped(b" " * 200 * MAX_BODY_BYTES), headers)
    assert (answer.status, answer.json()["code"]) == (413, "BODY_TOO_LARGE")


MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
FORM_LIMIT = 1024 * 1024


def a_form(size: int) -> bytes:
    """A form with a file, of so many bytes."""
    start = b'--x\r\nContent-Disposition: form-data; name="username"; filename="a"\r\n\r\n'
    end = b"\r\n--x--\r\n"
    return start + b"u" * (size - len(start) - len(end)) + end


@pytest.mark.parametrize("url", ["/admin/login/", "/docs/", "/schema/", "/metrics", "/nowhere/", "/logstore/"])
def test_a_body_that_announces_more_than_a_form_is_refused_before_it_comes(server, url):
    head = f"POST {url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {FORM_LIMIT + 1}\r\n\r\n"
    assert server.send_bytes(head.encode()).refusal == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("content_type", [MULTIPART["Content-Type"], "application/x-www-form-urlencoded", "text/plain"])
def test_a_chunked_form_is_counted_while_it_is_read(server, content_type):
    def chunks():
        for _ in range(FORM_LIMIT // 100_000):
            yield b"u" * 100_000
        yield b"u" * (FORM_LIMIT % 100_000 + 1)

    headers = {"Content-Type": content_type}
    answer = server.request("POST", "/admin/login/", chunks(), headers, chunked=True)
    assert answer.refusal == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_form_is_read_up_to_its_limit(server, chunked):
    body = a_form(FORM_LIMIT)
    answer = server.request("POST", "/admin/login/", iter([body]) if chunked else body, MULTIPART, chunked=chunked)
    # Of the form's own: the cookie against forgery is not there.
    assert answer.refusal == (403, "PERMISSION_DENIED")


def test_a_chunked_form_is_a_form(server):
    form = server.request("GET", "/admin/login/")
    cookie = form.headers["Set-Cookie"].partition(";")[0]
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', form.text)[1]
    body = f"csrfmiddlewaretoken={token}&username=nobody&password=wrong".encode()
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    answer = server.request("POST", "/admin/login/", iter([body[:50], body[50:]]), headers, chunked=True)
    assert (answer.status, "correct username and password" in answer.text) == (200, True)


def test_a_chunked_form_that_breaks_off_is_refused(server):
    head = b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert server.send_bytes(head + b"5\r\nuse").refusal == (400, "INVALID_JSON")


def test_several_clients_at_once(server):
    def send(number: int) -> int:
        return server.request("POST", "/logs/", json.dumps([a_log(user=str(number % 3))]), JSON).status

    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(send, range(40))) == [200] * 40
    assert (stored_logs(), stored_actions()) == (3, 120)


def test_a_connection_serves_one_request_after_another(server):
    get = b"GET /logs/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    post = head("application/json", f"Content-Length: {len(EXAMPLE)}") + EXAMPLE.encode()
    refused = head("application/json", "Content-Length: 2") + b"{}"

    with server.connect() as channel:
        statuses = []
        for request in (get, post, refused, get):
            channel.sendall(request)
            answer = HTTPResponse(channel)
            answer.begin()
            answer.read()
            statuses.append(answer.status)
    assert statuses == [200, 200, 400, 200]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; a*=unknown''%41"},
        {"Content-Type": "text/plain; charset=base64"},
        {"Content-Type": "text/plain; charset=idna"},
        {"Content-Type": "text/plain; charset=punycode"},
        {"Content-Type": "text/plain; charset=undefined"},
        {"Content-Type": "text/plain; charset=utf-16"},
        {"Content-Type": "\xff; charset=\xff"},
        {"Cookie": "\xff=\xfe; sessionid=\xff"},
        {"If-None-Match": "\xff"},
        {"Accept-Encoding": "\xff"},
        {"Range": "bytes=0-1"},
    ],
    ids=ascii,
)
@pytest.mark.parametrize("url", ["/logs/?userId=%C3%A9", "/admin/login/?next=%C3%A9"])
def test_no_header_disturbs_a_get(server, url, headers):
    server.request("POST", "/logs/", json.dumps([a_log(user="é")]), JSON)
    answer = server.request("GET", url, headers=headers)
    assert answer.status == 200
    if url.startswith("/logs/"):
        assert answer.json() == [a_log(user="é")]


@pytest.mark.parametrize("content_type", ["application/json; a*=unknown''%41", "text/plain; charset=base64", "\xff"])
def test_an_unreadable_content_type_is_refused(server, content_type):
    answer = server.request("POST", "/logs/", EXAMPLE, {"Content-Type": content_type})
    assert (answer.status, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert stored_logs() == 0


def test_a_request_without_a_host_is_served(server):
    assert server.send_bytes(b"GET /logs/ HTTP/1.0\r\n\r\n").status == 200


def test_the_longest_user_fits_into_the_url(server):
    user = "\U0001f600" * 255
    server.request("POST", "/logs/", json.dumps([a_log(user=user)]), JSON)
    answer = server.request("GET", "/logs/?userId=" + "%F0%9F%98%80" * 255)
    assert answer.json() == [a_log(user=user)]


@pytest.mark.parametrize(
    "url", ["/healthz", "/readyz", "/metrics", "/schema/", "/docs/", "/admin/login/", "/nowhere", "/logs/?userId=u"]
)
def test_a_head_has_the_headers_of_a_get_and_no_warning(server, url):
    lines_before = len(server.log)
    head, get = server.request("HEAD", url), server.request("GET", url)
    assert (head.status, head.headers["Content-Type"], head.content) == (get.status, get.headers["Content-Type"], b"")
    assert "WARNING" not in server.log[lines_before:]


def test_head_has_no_body(server):
    server.request("POST", "/logs/", json.dumps(some_logs(100)), JSON)
    answer = server.request("HEAD", "/logs/?limit=10", headers={"Accept-Encoding": "gzip"})
    assert (answer.status, answer.content) == (200, b"")
    assert 'rel="next"' in answer.headers["Link"]


def test_a_client_that_leaves_during_an_answer_harms_nobody(server):

    server.request("POST", "/logs/", json.dumps([a_log(*[a_view(other="x" * 500)] * 1_500)]), JSON)
    for _ in range(12):
        with server.connect() as channel:
            channel.sendall(b"GET /logs/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            channel.recv(100)
    assert len(server.request("GET", "/logs/").json()[0]["actions"]) == 1_500
    assert server.request("POST", "/logs/", EXAMPLE, JSON).status == 200


@pytest.mark.parametrize(
    "url", ["sqlite:///{folder}/folder", "postgres://nobody@127.0.0.1:1/nothing"], ids=["SQLite", "PostgreSQL"]
)
def test_a_database_that_is_away_is_503_at_every_url(tmp_path, url):
    # SQLite opens no folder.
    (tmp_path / "folder").mkdir()
    url = url.format(folder=tmp_path)
    with Server(tmp_path / "log", DATABASE_URL=url, WEB_CONCURRENCY=1) as server:
        answers = [
            server.request("GET", "/logs/"),
            server.request("GET", "/logs/?userId=u&limit=1"),
            server.request("POST", "/logs/", EXAMPLE, JSON),
            server.request("POST", "/logs/", EXAMPLE, {**JSON, "Idempotency-Key": "k"}),
            server.request("GET", "/admin/", headers={"Cookie": "sessionid=" + "a" * 32}),
        ]
        refused = server.request("POST", "/logs/", "[]", JSON)
        missing = server.request("GET", "/nowhere/")
    for answer in answers:
        assert (answer.status, answer.json()["code"]) == (503, "STORE_UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["errors"] == []
        assert "nobody" not in str(answer.json())
    assert (refused.status, missing.status) == (400, 404)


def test_a_start_with_a_wrong_setting_stops_with_one_sentence():
    ended = subprocess.run(
        ANYWHERE,
        cwd=PROJECT,
        env=environment(LOGSTORE_AUTH="no"),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("LOGSTORE_AUTH: ")


@pytest.mark.parametrize(
    "changes, workers",
    [
        ({"DATABASE_URL": "sqlite:///nowhere.sqlite3"}, 1),
        ({"DATABASE_URL": "sqlite:///nowhere.sqlite3", "WEB_CONCURRENCY": 3}, 3),
        ({"DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing"}, 2),
    ],
    ids=["SQLite", "as told", "PostgreSQL"],
)
def test_sqlite_which_has_one_writer_gets_one_process(changes, workers):
    shown = subprocess.run(
        [*ANYWHERE, "--print-config"], cwd=PROJECT, env=environment(**changes), capture_output=True, text=True
    )
    assert re.search(r"^workers += (\d+)$", shown.stdout, re.MULTILINE)[1] == str(workers)


def test_a_start_says_where_the_store_is():
    with subprocess.Popen(
        ANYWHERE, cwd=PROJECT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        said = process.stdout.readline()
        process.terminate()
    assert said.startswith("The store is at http://127.0.0.1:")

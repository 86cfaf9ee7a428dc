"""The page server as a process of its own, asked over HTTP."""

import http.client
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.services import free_port, listens
from core import runs
from core.run_pages.write import write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A data root with two reports, an index of runs, secrets beside them and links that lead out; and the port of its server."""
    root = tmp_path_factory.mktemp("data")
    report = root / "stages/report/abc"
    report.mkdir(parents=True)
    (report / "index.html").write_text("<h1>a page</h1>")
    (report / "clip.wav").write_bytes(bytes(range(256)) * 40)
    (root / "prefect").mkdir()
    (root / "prefect" / "secret.txt").write_text("canary")
    (report / "out.txt").symlink_to(root / "prefect" / "secret.txt")
    other = root / "stages/report_spatial/def"
    other.mkdir(parents=True)
    (other / "index.html").write_text("<h1>another page</h1>")
    decided = root / "published/d/reports/20261121-201500"
    decided.mkdir(parents=True)
    (decided / "index.html").write_text("decided")
    (decided.parent / "index.html").write_text("newest")
    (root / "bench").mkdir()
    (root / "bench/index.html").write_text("measured")
    for secret in (root / "bench/first.json", decided / "report.json", root / "published/d/version.json"):
        secret.write_text("canary")
    for folder in ("stages/prepare/abc", "stages/reporting/abc", "stages/report/abc.partial"):
        (root / folder).mkdir(parents=True)
        (root / folder / "index.html").write_text("canary")
    runs.save(root, runs.Run("r1", "synthio", "the title", "./run.sh", 0.0, [], "stages/report/abc", "completed", 60.0, error="canary"))
    (root / "runs/r1/config.yaml").write_text("canary")
    (root / "runs/r1/heartbeat").write_text("canary")
    write(root)
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "cli.pages", str(root), str(port)], cwd=ROOT)
    deadline = time.monotonic() + 30
    while not listens(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    yield port
    process.terminate()
    process.wait(10)


def get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


def test_report_is_served_and_players_can_seek(pages):
    assert get(pages, "/stages/report/abc/index.html")[1] == b"<h1>a page</h1>"
    status, body, headers = get(pages, "/stages/report/abc/clip.wav", Range="bytes=100-109")
    assert status == 206 and body == bytes(range(100, 110)) and headers["Content-Range"] == "bytes 100-109/10240"


def test_every_flows_reports_and_the_index_of_runs_are_served(pages):
    assert get(pages, "/stages/report_spatial/def/index.html")[1] == b"<h1>another page</h1>"
    status, _, headers = get(pages, "/")
    assert status == 307 and headers["Location"] == "/runs/index.html"
    found = {"/runs/index.html": b"../stages/report/abc/", "/runs/r1/index.html": b"the title", "/runs/": b"the title",
             "/published/d/reports/index.html": b"newest", "/published/d/reports/20261121-201500/index.html": b"decided",
             "/bench/index.html": b"measured", "/bench/": b"measured"}  # fmt: skip
    for path, word in found.items():
        status, body, _ = get(pages, path)
        assert status == 200 and word in body, path


@pytest.mark.parametrize(
    "path",
    [
        "/prefect/secret.txt", "/runs/r1/run.json", "/runs/r1/config.yaml", "/runs/r1/heartbeat", "/runs/../prefect/secret.txt",
        "/stages/prepare/abc/index.html", "/stages/reporting/abc/index.html", "/stages/report/abc.partial/index.html",
        "/stages/report/../prepare/abc/index.html", "/stages/report/%2e%2e/prepare/abc/index.html", "/attempts/a/b/001/output.log",
        "/published/d/version.json", "/bench/first.json",
        "/published/d/reports/20261121-201500/report.json", "/stages/report/../../prefect/secret.txt",
        "/stages/report/%2e%2e/%2e%2e/prefect/secret.txt", "/stages/report/..%2f..%2fprefect/secret.txt", "/stages/report//etc/passwd",
        "/stages/report/abc/out.txt", "/stages/report/abc",
    ],
)  # fmt: skip
def test_nothing_but_reports_and_the_index_is_served(pages, path):
    status, body, _ = get(pages, path)
    assert b"canary" not in body and b"root:" not in body and (status in (400, 404) or path.endswith("abc"))


def test_a_page_of_another_host_cannot_read_it_by_dns_rebinding(pages):
    assert get(pages, "/stages/report/abc/index.html", Host="evil.example")[0] == 400


def test_it_listens_on_loopback_only(pages):
    import psutil

    own = [item for item in psutil.net_connections("tcp") if item.status == "LISTEN" and item.laddr.port == pages]
    assert {item.laddr.ip for item in own} == {"127.0.0.1"}


def test_command_writes_the_index_and_says_where_it_is(tmp_path):
    settings = {"SYNTHLOOM_DATA": str(tmp_path), "PATH": ""}
    words = [sys.executable, "-m", "cli", "pages"]
    done = subprocess.run(words, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and str(tmp_path / "runs/index.html") in done.stdout and "./run.sh up" in done.stdout, done.stderr
    assert "Nothing ran here yet" in (tmp_path / "runs/index.html").read_text()
    words = [sys.executable, "-m", "cli", "pages", "all"]
    wrong = subprocess.run(words, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "pages takes nothing" in wrong.stderr

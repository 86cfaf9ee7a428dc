"""The page server as a process of its own, asked over HTTP."""

import http.client
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.services import free_port, listens

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A data root with one report, a secret beside it and a link that leads out of it; and the port of its server."""
    root = tmp_path_factory.mktemp("data")
    report = root / "stages/report/abc"
    report.mkdir(parents=True)
    (report / "index.html").write_text("<h1>a page</h1>")
    (report / "clip.wav").write_bytes(bytes(range(256)) * 40)
    (root / "prefect").mkdir()
    (root / "prefect" / "secret.txt").write_text("canary")
    (report / "out.txt").symlink_to(root / "prefect" / "secret.txt")
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


@pytest.mark.parametrize(
    "path",
    [
        "/", "/prefect/secret.txt", "/stages/report/../../prefect/secret.txt", "/stages/report/%2e%2e/%2e%2e/prefect/secret.txt",
        "/stages/report/..%2f..%2fprefect/secret.txt", "/stages/report//etc/passwd", "/stages/report/abc/out.txt", "/stages/report/abc",
    ],
)  # fmt: skip
def test_nothing_outside_the_reports_is_served(pages, path):
    status, body, _ = get(pages, path)
    assert b"canary" not in body and b"root:" not in body and (status in (400, 404) or path.endswith("abc"))


def test_a_page_of_another_host_cannot_read_it_by_dns_rebinding(pages):
    assert get(pages, "/stages/report/abc/index.html", Host="evil.example")[0] == 400


def test_it_listens_on_loopback_only(pages):
    import psutil

    own = [item for item in psutil.net_connections("tcp") if item.status == "LISTEN" and item.laddr.port == pages]
    assert {item.laddr.ip for item in own} == {"127.0.0.1"}

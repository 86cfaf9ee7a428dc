"""Versions small enough to send hundreds of times, and a place to send them that is a real S3-compatible server."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from core.datasets import listing


@pytest.fixture
def version(tmp_path):
    """Return a maker of version folders: files of known bytes with version.json and listing."""

    def make(count=5, mark="a", name="toy", size=50):
        folder = tmp_path / f"version-{mark}-{count}"
        for number in range(count):
            path = folder / ("train" if number % 2 else "test") / f"{number:03d} ü.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{mark}{number}".encode().ljust(size, b"."))
        (folder / "README.md").write_text(f"# {name} {mark}\n")
        (folder / "version.json").write_text(json.dumps({"schema": 1, "name": name, "version": mark.encode().hex().zfill(12)}))
        (folder / listing.LISTING).write_text(listing.render(listing.of_folder(folder)))
        return folder

    return make


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """Start moto's server as a process of its own and set the environment to it; returns its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    wanted = {"AWS_ACCESS_KEY_ID": "id-of-the-test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test", "AWS_DEFAULT_REGION": "us-east-1",
              "SYNTHLOOM_S3_ENDPOINT": address}  # fmt: skip
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{address}/moto-api/", timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield address
    server.terminate()
    server.wait(10)
    log.close()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)

"""The hub's own protocol, spoken by huggingface_hub to a small server that keeps repositories in memory."""

import base64
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "hf_token-of-the-test"
COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """Answers what create_repo, list_repo_tree, create_commit and hf_hub_download ask; small files go inside the commit."""

    def log_message(self, *words):
        pass

    def answer(self, value=None, code=200, body=None, **headers):
        data = json.dumps(value).encode() if body is None else body
        self.send_response(code)
        for name, text in {"Content-Length": str(len(data)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def asked(self):
        self.server.tokens.add(self.headers.get("Authorization"))
        return urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)

    def do_GET(self):
        path, files = self.asked(), self.server.files
        if "/tree/" in path:
            if files is None:
                return self.answer({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
            return self.answer([{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in files.items()])
        if "/resolve/" in path:
            name = path.split("/resolve/", 1)[1].partition("/")[2]
            if name not in files:
                return self.answer({}, 404, **{"X-Error-Code": "EntryNotFound"})
            return self.answer(body=files[name], ETag=f'"{hash(files[name])}"')
        return self.answer({"error": path}, 404)

    do_HEAD = do_GET

    def do_POST(self):
        path = self.asked()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/api/repos/create":
            self.server.files, self.server.created = {".gitattributes": b"x"}, json.loads(body)
            return self.answer({"url": f"http://127.0.0.1:{self.server.server_port}/datasets/owner/name"})
        if "/preupload/" in path:
            modes = [{"path": item["path"], "uploadMode": "regular", "shouldIgnore": False} for item in json.loads(body)["files"]]
            return self.answer({"files": modes})
        if path == "/api/validate-yaml":
            self.server.cards.append(json.loads(body)["content"])
            return self.answer({"errors": [], "warnings": []})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del self.server.files[line["value"]["path"]]
        address = f"http://127.0.0.1:{self.server.server_port}/datasets/owner/name/commit/{COMMIT}"
        return self.answer({"commitUrl": address, "commitOid": COMMIT, "success": True})


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files, server.created, server.cards, server.tokens = None, None, [], set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def converse(hub, home, do, **more):
    """Run one transfer and return its last word and all its output; stdin stays open until then, as its end would end the program."""
    settings = {
        "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_TOKEN": TOKEN, "HF_HOME": str(home / "home"),
        "PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    child = subprocess.Popen([sys.executable, "-m", "core.datasets.transfer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, cwd=ROOT, env={**os.environ, **settings})  # fmt: skip
    child.stdin.write(json.dumps({"do": do, "address": "hf://datasets/owner/name", **more}) + "\n")
    child.stdin.flush()
    output = child.stdout.read()
    child.stdin.close()
    child.wait(30)
    return json.loads(output.splitlines()[-1]), output


def held(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_version_goes_to_a_private_repository_and_comes_back(version, hub, tmp_path):
    folder = version()
    said, output = converse(hub, tmp_path, "push", folder=str(folder))
    assert said == {"result": {"sent": 8, "passed_over": 0, "removed": 0, "bytes": 258}}
    assert hub.created["visibility"] == "private" and hub.created["type"] == "dataset" and hub.tokens - {None} == {f"Bearer {TOKEN}"}
    assert hub.files.keys() == {".gitattributes", *held(folder)} and TOKEN not in output and hub.cards == ["# toy a\n"]
    assert converse(hub, tmp_path, "push", folder=str(folder))[0]["result"]["sent"] == 0
    said, _ = converse(hub, tmp_path, "pull", folder=str(tmp_path / "back"))
    assert said["result"]["fetched"] == 7 and held(tmp_path / "back") == held(folder)
    newer = version(3)
    assert converse(hub, tmp_path, "push", folder=str(newer))[0]["result"]["removed"] == 2
    assert hub.files.keys() == {".gitattributes", *held(newer)}


def test_a_repository_without_a_version_says_so(hub, tmp_path):
    said, _ = converse(hub, tmp_path, "pull", folder=str(tmp_path / "back"))
    assert "no version of a dataset" in said["error"]


def test_public_is_public(version, hub, tmp_path):
    converse(hub, tmp_path, "push", folder=str(version(1)), public=True)
    assert hub.created["visibility"] == "public"

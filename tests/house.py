"""A data root with its own server, page server, worker and leases, driven by the real command line; for tests that need a whole house."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class House:
    """One data root and the processes around it."""

    def __init__(self, folder, **extra):
        self.root = folder / "data"
        own = {
            "PYTHONPATH": str(ROOT), "SYNTHLOOM_DATA": str(self.root), "SYNTHLOOM_PORT": "0", "SYNTHLOOM_PAGES_PORT": "0",
            "SYNTHLOOM_LEASES": str(folder / "leases"), "SYNTHLOOM_STAGES": str(ROOT / "tests" / "stages"),
        }  # fmt: skip
        self.environment = {**{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}, **own, **extra}

    def cli(self, *words, timeout=800):
        """Run ``./run.sh``'s command line."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def record(self, service):
        return json.loads((self.root / "prefect" / f"{service}.json").read_text())

    @property
    def api(self):
        return self.record("server")["api_url"]

    def program(self, *words, **extra):
        """Start a program that talks to this house's server, and return it."""
        from cli.settings import prefect_environment

        kept = {
            name: value for name, value in prefect_environment(self.api).items() if not name.startswith(("SYNTHLOOM_DATA", "PREFECT_HOME"))
        }
        environment = {**self.environment, **kept, "PREFECT_HOME": str(self.root / "prefect"), **extra}
        return subprocess.Popen(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )

    def ask(self, path, body=None, method=None):
        """Return the API's answer to a POST with ``body``, or to a GET without.

        A 503, Prefect's answer while its SQLite file is locked, is asked again, as Prefect's own client does.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}/{path}", data, {"Content-Type": "application/json"}, method=method)
        for last in (False, False, False, True):
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    text = response.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code != 503 or last:
                    raise
                time.sleep(1.0)
        return None

    def until(self, ask, limit_s, what):
        """Return the first true answer of ``ask()``."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            answer = ask()
            if answer:
                return answer
            time.sleep(0.3)
        raise AssertionError(f"{what} did not happen within {limit_s} s; worker log:\n{self.log('worker')}")

    def log(self, service):
        path = self.root / "prefect" / f"{service}.log"
        return path.read_text(errors="replace")[-6000:] if path.exists() else "none"

    def children(self):
        """Return the numbers of the live stage children of this data root."""
        return list(stage_children(self.root))

    def close(self):
        self.cli("down")
        assert not self.children()


def stage_children(root):
    """Return {process: its parent} of the live stage children that work for a data root."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            except OSError:
                continue  # it ended between the two looks
            if "core.host" in words and any(word.startswith(f"{root}/") for word in words) and state != "Z":
                found[int(entry.name)] = int(parent)
    return found

"""Sends published versions and fetches them: starts the program that talks to the place, and keeps what arrives only when it is whole."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import atomic, environments
from core.datasets import addresses, listing, verification, versions
from core.datasets.naming import PUBLISHED, SCHEMA, check_name, check_version
from core.errors import InvalidValueError, SynthloomError
from core.keys import ROOT
from core.redact import redactor

ENVIRONMENT = "exchange"
_QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
Report = Callable[[int, int], None]


class ExchangeError(SynthloomError):
    """The other place refused, or could not be reached; what was done so far is kept, and the same command goes on from there."""


def push(folder: Path, address: str, report: Report, public: bool = False) -> dict[str, Any]:
    """Send a version, after verifying it.

    Args:
        folder: the version's folder.
        address: where to.
        report: is told files done and files in all.
        public: make a hub repository that is new readable for everybody.

    Returns:
        what :func:`core.datasets.transfer.push` counted, with ``name``, ``version`` and ``address``.

    Raises:
        InvalidValueError: a table without audio, or a damaged version.
        ExchangeError: the place refused.
    """
    to = addresses.parse(address)
    version = versions.read(folder)
    if version["form"] == "csv":
        hint = f"./run.sh publish RUN --as {version['name']} --to audiofolder"
        raise InvalidValueError("a table without its audio", where="push", allowed="another form", received="csv", hint=hint)
    wrong = verification.verify(folder)
    if wrong:
        hint = f"./run.sh verify {version['name']}@{version['version']} lists all"
        raise InvalidValueError(
            f"damaged: {wrong[0].detail}", where=f"{folder}/{wrong[0].path}", received=f"{len(wrong)} findings", hint=hint
        )
    counted = _ask({"do": "push", "address": to.text, "folder": str(folder.resolve()), "public": public}, report)
    return {"name": version["name"], "version": version["version"], "address": to.text, **counted}


def pull(root: Path, address: str, name: str, report: Report) -> dict[str, Any]:
    """Fetch a version to ``published/<name>/<version>`` and let ``current`` point at it; one that is there already is verified.

    It lies in ``.<version>.partial`` until every digest has been verified; what is damaged here stays until then, and is then replaced.

    Args:
        root: the data root.
        address: where from.
        name: what to call it here; empty: as it is called there.
        report: as for :func:`push`.

    Returns:
        what :func:`core.datasets.transfer.pull` counted, with ``name``, ``version``, ``address`` and ``folder``.

    Raises:
        InvalidValueError: no finished version is there, or it is not what its listing says.
        ExchangeError: the place refused.
    """
    source = addresses.parse(address)
    if name:
        check_name(name, "pull --as")
    there = _ask({"do": "look", "address": source.text}, report)
    check_version({**there, "schema": SCHEMA}, source.text)
    called, version = name or str(there["name"]), str(there["version"])
    target = root / PUBLISHED / called / version
    partial = target.with_name(f".{version}.partial")
    with versions.alone(root, called):
        counted: dict[str, Any] = {"fetched": 0, "passed_over": 0, "bytes": 0}
        damaged = target.exists() and bool(verification.verify(target))
        if damaged:
            _lend(target, partial)
        if damaged or not target.exists():
            counted = _ask({"do": "pull", "address": source.text, "folder": str(partial)}, report)
            _check_whole(partial, version, source.text)
            versions.replace(target, partial) if damaged else atomic.rename_folder(partial, target)
        versions.point(target.parent, target)
    return {"name": called, "version": version, "address": source.text, "folder": str(target), **counted}


def _lend(target: Path, partial: Path) -> None:
    """Give the files of a damaged version a second name in the copy to be, so that only those that are not whole are fetched."""
    for path in [path for path in target.rglob("*") if path.is_file() and not path.is_symlink() and path.name != listing.LISTING]:
        there = partial / path.relative_to(target)
        if not there.exists():
            atomic.link(path, there)


def _check_whole(partial: Path, version: str, where: str) -> None:
    """Refuse a copy with anything wrong in it, or that became another version on the way; it is left for the next attempt."""
    wrong = verification.verify(partial)
    if wrong:
        what = f"{wrong[0].path}: {wrong[0].detail}"
        raise InvalidValueError(what, where=where, allowed="what its version.json says", received=f"{len(wrong)} findings in {partial}")
    if versions.read(partial)["version"] != version:
        hint = "another version was pushed meanwhile; pull again"
        raise InvalidValueError(
            "changed while it was fetched", where=where, allowed=version, received=versions.read(partial)["version"], hint=hint
        )


def _ask(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Run one transfer in its environment and return its result; the child ends with this process, however that ends."""
    environments.build(ENVIRONMENT, lambda text: print(text, flush=True))
    with tempfile.TemporaryFile("w+") as complaints:
        child = subprocess.Popen(
            [str(environments.python(ENVIRONMENT)), "-m", "core.datasets.transfer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=complaints, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **_QUIET},
        )  # fmt: skip
        try:
            result, error = _listen(child, request, report)
        finally:
            if child.stdin:
                child.stdin.close()
            child.wait()
        complaints.seek(0)
        tail = complaints.read()[-2000:]
    if child.returncode == 2 and error:
        raise ExchangeError(error)
    if result is None or child.returncode:
        raise ExchangeError(f"{redactor()(error or tail) or f'ended with code {child.returncode}'}; {_hint(error)}")
    return result


def _listen(child: subprocess.Popen[str], request: dict[str, Any], report: Report) -> tuple[dict[str, Any] | None, str]:
    """Hand the request over and return what the child says at its end: a result, or an error."""
    assert child.stdin and child.stdout
    result: dict[str, Any] | None = None
    error = ""
    child.stdin.write(json.dumps(request) + "\n")
    child.stdin.flush()
    for line in child.stdout:
        said = json.loads(line)
        if "progress" in said:
            report(*said["progress"])
        result, error = said.get("result", result), said.get("error", error)
    return result, error


def _hint(error: str) -> str:
    if any(word in error for word in ("Credentials", "Forbidden", "Unauthorized", "401", "403", "AccessDenied")):
        return (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or HF_TOKEN for a hub) in the environment, then type the same command again"
        )
    if "bucket does not exist" in error:
        return "make the bucket first, or name another; SYNTHLOOM_S3_ENDPOINT names a server that is not Amazon's"
    return "type the same command again: it goes on where it stopped"

"""``doctor``: is this machine able to run synthloom, and if not, what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from cli import server
from core import devices, environments, leases, places
from core.errors import SynthloomError

NEEDED_DISK_GB = 15
NEEDED_MEMORY_MB = 6000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    level: str
    """``ok``, ``warn`` (works, with limits) or ``fail``."""
    found: str
    next: str
    """What to do about it; empty when nothing."""


def examine() -> list[Finding]:
    """Look at everything a run needs, without changing anything."""
    checks: list[Callable[[], list[Finding]]] = [_python, _uv, _environments, _devices, _memory, _disk, _leases, _server]
    return [finding for check in checks for finding in check()]


def _python() -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] == (3, 11)
    return [Finding("Python", "ok" if good else "fail", version, "" if good else "install Python 3.11; the locks are compiled for it")]


def _uv() -> list[Finding]:
    try:
        return [Finding("uv", "ok", environments.find_uv(), "")]
    except SynthloomError:
        return [Finding("uv", "fail", "not found", "./run.sh setup installs it")]


def _environments() -> list[Finding]:
    return [
        Finding(f"environment {name}", "ok", "built from the present lock", "") if environments.is_ready(name)
        else Finding(f"environment {name}", "warn", "not built, or its lock changed", f"./run.sh setup {name} (a run does it by itself)")
        for name in environments.needed()
    ]  # fmt: skip


def _devices() -> list[Finding]:
    found = devices.discover()
    text = ", ".join(f"{device.label} {device.name} ({device.free_memory_mb} MB free)" for device in found)
    advice = "" if found[0].kind != "cpu" else "no GPU: every flow runs, at the size of its cpu preset"
    return [Finding("devices", "ok", text, advice)]


def _memory() -> list[Finding]:
    free = devices.memory_mb()[0]
    good = free >= NEEDED_MEMORY_MB
    return [Finding("memory", "ok" if good else "warn", f"{free} MB available", "" if good else f"{NEEDED_MEMORY_MB} MB are recommended")]


def _disk() -> list[Finding]:
    root = places.data_root()
    free_gb = shutil.disk_usage(root).free / 1e9
    if not os.access(root, os.W_OK):
        return [Finding("data root", "fail", f"{root} cannot be written", "set SYNTHLOOM_DATA to a folder of yours")]
    good = free_gb >= NEEDED_DISK_GB
    advice = "" if good else f"{NEEDED_DISK_GB} GB are recommended"
    return [Finding("data root", "ok" if good else "warn", f"{root}, {free_gb:.0f} GB free", advice)]


def _leases() -> list[Finding]:
    folder = leases.default_folder()
    good = os.access(folder, os.W_OK)
    advice = "" if good else "set SYNTHLOOM_LEASES to a folder all users can write"
    return [Finding("device leases", "ok" if good else "fail", str(folder), advice)]


def _server() -> list[Finding]:
    found = server.find()
    return [Finding("Prefect server", "ok", f"{found.ui_url} answers" if found else "none runs; a run starts one on 127.0.0.1", "")]


def as_text(findings: list[Finding]) -> str:
    """Return the findings as lines."""
    marks = {"ok": "✓", "warn": "!", "fail": "✗"}
    width = max(len(finding.what) for finding in findings)
    return "\n".join(f"  {marks[f.level]} {f.what:<{width}}  {f.found}" + (f"\n      → {f.next}" if f.next else "") for f in findings)


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """Return the findings for machines."""
    return {"ok": all(f.level != "fail" for f in findings), "findings": [asdict(finding) for finding in findings]}

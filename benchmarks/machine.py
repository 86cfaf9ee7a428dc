"""What a figure was measured on: enough to know whether two figures may be compared, nothing that names a person's machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from core import devices
from core.keys import ROOT

UNKNOWN = "unknown"
"""What cannot be found out."""


def describe() -> dict[str, str]:
    """Return processor, cores, memory, devices, system, Python, commit, and how busy the machine was when asked."""
    cards = [device.label for device in devices.discover() if device.kind != "cpu"]
    return {
        "processor": _processor() or platform.processor() or UNKNOWN,
        "cores": str(len(devices.cpu_devices())),
        "memory": f"{devices.memory_mb()[1] / 1024:.1f} GiB",
        "devices": ", ".join(cards) or "no GPU",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _commit(),
        "load": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    """Return the processor's name where the system tells it; empty otherwise."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _commit() -> str:
    """Return the checkout's commit, with a plus where files differ from it."""
    try:
        options = {"cwd": ROOT, "capture_output": True, "text": True, "check": True, "timeout": 10}
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **options).stdout.strip()  # type: ignore[call-overload]
        changed = subprocess.run(["git", "status", "--porcelain"], **options).stdout.strip()  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return f"{commit}+" if changed else str(commit)

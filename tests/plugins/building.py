"""Builds the tests' own VST3 synthesiser with nothing but a C++ compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent
ARCHITECTURE = "x86_64-linux"
FAULT = 19
"""Index of the parameter that asks for a fault."""
FAULTS = {name: number / 7 for number, name in enumerate(("none", "crash", "hang", "silence", "nan", "random", "memory", "leak"))}
"""Its raw values: ends the process with a segmentation fault, never returns, gives zeros, gives NaN, begins at a random phase, begins where
the process's earlier notes left off, loses 2 MB a note."""


def compiler() -> str:
    """Return the C++ compiler; without one the test is skipped, or fails where ``CI`` is set."""
    found = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")
    if not found:
        import pytest  # here, for the benchmark has none to skip

        reason = "NO C++ COMPILER: nothing that plays a VST3 plug-in is tested here; install g++"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def build_small_synth(folder: Path, *definitions: str, name: str = "SmallSynth") -> Path:
    """Compile the synthesiser into ``folder``/``name``.vst3 and return the bundle."""
    program = compiler()
    bundle = folder / f"{name}.vst3"
    library = bundle / "Contents" / ARCHITECTURE / f"{name}.so"
    library.parent.mkdir(parents=True)
    flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]
    command = [program, *flags, *(f"-D{one}" for one in definitions), str(SOURCES / "small_synth.cpp"), "-o", str(library)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return bundle

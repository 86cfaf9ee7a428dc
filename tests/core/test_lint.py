"""The whole tree passes ruff; core, flows, cli and benchmarks pass mypy in strict mode."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    finished = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_ruff_is_clean():
    run("ruff", "check", ".")


def test_mypy_is_clean_and_strict(tmp_path):
    run("mypy", "--cache-dir", str(tmp_path))

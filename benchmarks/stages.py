"""Lets benchmarks use the stages of the tests, which do nothing, or nothing but sleep."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from core import keys

STAGES = keys.ROOT / "tests" / "stages"


@contextmanager
def test_stages() -> Iterator[None]:
    """Make the stages below tests/stages known here and in children."""
    import tasks

    before = os.environ.get("SYNTHLOOM_STAGES")
    os.environ["SYNTHLOOM_STAGES"] = str(STAGES)
    tasks.__path__ = [str(STAGES), *tasks.__path__]
    try:
        yield
    finally:
        tasks.__path__ = tasks.__path__[1:]
        os.environ.pop("SYNTHLOOM_STAGES")
        if before is not None:
            os.environ["SYNTHLOOM_STAGES"] = before

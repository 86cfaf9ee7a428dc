"""Runs a captioner that is a program: clips go in as JSON lines, captions come out as JSON lines."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import InvalidValueError
from core.redact import redactor
from tasks.describe.spec import Settings
from tasks.language_model.text import clean

LIMIT_BYTES = 50_000_000
"""Largest answer file that is read."""
TAIL_CHARS = 2000
"""Characters of the program's own words that are shown when it fails."""
_LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "SYNTHLOOM_CHILD", "RANK", "WORLD_SIZE", "LOCAL_RANK")
"""Variables of this process that would lead a program with an environment of its own astray."""


def describe(clips: Sequence[tuple[str, Path]], settings: Settings, alive: Callable[[], None]) -> dict[str, str]:
    """Return a caption for every (clip_id, path).

    Args:
        clips: one batch.
        settings: the command and its time limit.
        alive: called every second while the program runs.

    Raises:
        InvalidValueError: the program cannot be started, fails or takes too long, or its answers do not fit the clips.
    """
    with tempfile.TemporaryDirectory(prefix="describe-") as name:
        folder = Path(name)
        given, answers, words = folder / "clips.jsonl", folder / "captions.jsonl", folder / "output.log"
        lines = (json.dumps({"clip_id": clip, "path": str(path)}, ensure_ascii=False) for clip, path in clips)
        given.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        argv = [part.replace("{input}", str(given)).replace("{output}", str(answers)) for part in settings.command]
        _run(argv, settings.command_time_limit_s, words, alive)
        if not answers.is_file():
            raise _wrong("the captioner wrote no answers", "a file at {output}", "nothing", words)
        if answers.stat().st_size > LIMIT_BYTES:
            raise _wrong("the captioner's answers are too large", f"up to {LIMIT_BYTES:,} bytes", answers.stat().st_size, words)
        return _read(answers, [clip for clip, _ in clips], words)


def _run(argv: list[str], limit_s: float, words: Path, alive: Callable[[], None]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    deadline = time.monotonic() + limit_s
    with words.open("wb") as log:
        try:
            # In this process group, so that the launcher's signal reaches it too.
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment)
        except OSError as error:
            raise _wrong("the captioner cannot be started", "a program on PATH, or its full path", f"{argv[0]}: {error.strerror}") from None
        try:
            while process.poll() is None:
                alive()
                if time.monotonic() > deadline:
                    raise _wrong("the captioner took too long", f"{limit_s:g} s a batch", "no end", words)
                try:
                    process.wait(timeout=min(1.0, max(0.01, deadline - time.monotonic())))
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        raise _wrong("the captioner failed", "exit code 0", f"exit code {process.returncode}", words)


def _read(path: Path, wanted: list[str], words: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            clip, caption = entry["clip_id"], entry["caption"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _wrong(f"line {number} is no answer", '{"clip_id": …, "caption": …}', line[:200], words) from None
        if not isinstance(clip, str) or not isinstance(caption, str):
            raise _wrong(f"line {number} is no answer", "two texts", line[:200], words)
        if clip in found:
            raise _wrong("a clip was answered twice", "one answer for each clip", clip, words)
        found[clip] = clean(caption)
    faults = {
        "clips without an answer": [clip for clip in wanted if clip not in found],
        "answers for clips that were not given": sorted(set(found) - set(wanted)),
        "empty captions": [clip for clip in wanted if not found.get(clip)],
    }
    for what, clips in faults.items():
        if clips:
            raise _wrong(what, "one caption with words for each clip", [clip[:80] for clip in clips[:5]], words)
    return found


def _wrong(what: str, allowed: str, received: object, words: Path | None = None) -> InvalidValueError:
    tail = ""
    if words is not None and words.is_file():
        with words.open("rb") as handle:
            handle.seek(max(0, words.stat().st_size - TAIL_CHARS))
            tail = redactor()(handle.read().decode(errors="replace")).strip()
    return InvalidValueError(
        what, where="describe.command", allowed=allowed, received=received, hint=f"its last words:\n{tail}" if tail else ""
    )

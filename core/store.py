"""Where finished work lives: ``<data root>/stages/<stage>/<key>/`` with a done record, and nothing without one counts.

A child writes into ``<key>.partial``. When it has finished, the done record, with the digest of every file, is written into that
folder, and one rename to ``<key>`` publishes both. Shards inside a partial folder survive a kill and are not done again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import atomic, keys
from core.context import DONE, SHARD_DONE, SHARDS
from core.errors import StageCancelled, StageCrashed
from core.host import RESULT
from core.locks import try_lock

LOCK_POLL_S = 0.05


@dataclass(frozen=True)
class Done:
    """The done record of one finished piece of work."""

    stage: str
    key: str
    result: dict[str, Any]
    """The stage's Result as JSON."""
    identity: dict[str, Any]
    """What the key was made of."""
    usage: dict[str, float]
    """wall_s, cpu_s, peak_memory_mb, summed (peak: maximum) over all children; of stages that count them, clips_made and clips_reused."""
    files: dict[str, str]
    """SHA-256 by path relative to the output folder."""
    finished_at: float
    """Unix time."""

    @property
    def output(self) -> str:
        """Path of the output, relative to the data root."""
        return f"stages/{self.stage}/{self.key}"


class Store:
    """The stages' outputs below one data root."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def output(self, stage: str, key: str) -> Path:
        """Return the published folder of a piece of work, whether it exists or not."""
        return self.root / "stages" / stage / key

    def partial(self, stage: str, key: str) -> Path:
        """Return the folder a child writes into."""
        return self.root / "stages" / stage / f"{key}.partial"

    def done(self, stage: str, key: str) -> Done | None:
        """Return the done record, or None when the work is not finished or its record is damaged."""
        try:
            record = json.loads((self.output(stage, key) / DONE).read_text())
            return Done(**record)
        except (OSError, json.JSONDecodeError, TypeError):
            return None

    def done_shards(self, stage: str, key: str) -> list[int]:
        """Return the shards that are recorded as done, of work that may be unfinished."""
        found = (self.partial(stage, key) / SHARDS).glob(f"*/{SHARD_DONE}")
        return sorted(int(path.parent.name) for path in found if path.parent.name.isdigit())

    def publish(self, stage: str, key: str, identity: dict[str, Any], usage: dict[str, float]) -> Done:
        """Rename a partial folder to its final name and write its done record.

        Raises:
            StageCrashed: the child left no valid result.
        """
        partial, final = self.partial(stage, key), self.output(stage, key)
        try:
            result = json.loads((partial / RESULT).read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise StageCrashed(f"{stage} ended without a valid {RESULT} in {partial}: {error}") from error
        if final.exists():
            self.set_aside(final)  # its record was lost or damaged
        files = {
            item.relative_to(partial).as_posix(): keys.file_digest(item)
            for item in sorted(partial.rglob("*"))
            if item.is_file() and item.relative_to(partial).parts[0] not in (SHARDS, DONE)
        }
        done = Done(stage, key, result, identity, usage, files, time.time())
        # The record goes in first, so that one rename publishes the work together with its record: a kill in between loses nothing.
        atomic.write_json(partial / DONE, done.__dict__)
        atomic.rename_folder(partial, final)
        self.tidy(stage, key)
        return done

    def tidy(self, stage: str, key: str) -> None:
        """Remove the shards of finished work: they are combined by now, and a shard's record has no meaning once the whole is done."""
        shutil.rmtree(self.output(stage, key) / SHARDS, ignore_errors=True)

    def set_aside(self, folder: Path) -> Path:
        """Rename a folder out of the way, where nothing takes it for data, and return its new path."""
        return folder.rename(folder.with_name(f"{folder.name.partition('.')[0]}.unrecorded-{os.getpid()}-{time.time_ns()}"))

    @contextmanager
    def locked(self, stage: str, key: str, part: str = "whole", stop: Callable[[], bool] = lambda: False) -> Iterator[int]:
        """Hold the lock of a piece of work (or of one shard) and yield its descriptor, to be inherited by the child.

        Another flow that wants the same work waits here and then finds it done.

        Raises:
            StageCancelled: ``stop`` said so while waiting.
        """
        path = self.root / "locks" / stage / f"{key}.{part}"
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            while not try_lock(descriptor):
                if stop():
                    raise StageCancelled(f"the run was cancelled while it waited for another one to finish {stage}/{key}")
                time.sleep(LOCK_POLL_S)
            yield descriptor
        finally:
            os.close(descriptor)

    def attempt(self, stage: str, key: str) -> Path:
        """Make and return a fresh folder for one child's request and log."""
        parent = self.root / "attempts" / stage / key
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(len(list(parent.iterdir())) + 1, 1_000_000):
            folder = parent / f"{number:03d}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue  # a second child of the same work took the number
            return folder
        raise StageCrashed(f"no attempt number left in {parent}")

    def remember_usage(self, stage: str, usage: dict[str, float], units: int) -> None:
        """Append a line to the history that ``plan`` estimates from."""
        line = json.dumps({"stage": stage, "units": units, "at": time.time(), **usage})
        with (self.root / "history.jsonl").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            handle.write(line + "\n")

    def history(self) -> list[dict[str, Any]]:
        """Return the usage history, oldest first; damaged lines are passed over."""
        records = []
        path = self.root / "history.jsonl"
        for line in path.read_text().splitlines() if path.is_file() else []:
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue  # the last line of a killed writer
        return records

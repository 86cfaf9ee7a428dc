"""What work costs: the memory of a whole run while it runs, and the stages' costs as a table."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.graph import Step
from core.store import Store

COLUMNS = {
    "wall_s": "wall s", "cpu_s": "CPU s", "gpu_s": "GPU s", "peak_memory_mb": "peak MB", "gpu_peak_memory_mb": "GPU peak MB",
    "read_mb": "read MB", "written_mb": "written MB",
}  # fmt: skip


class MemoryWatch:
    """Samples the resident memory of this process and all its descendants; its peak is an honest figure for the whole run."""

    EVERY_S = 1.0

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        me, ended = psutil.Process(), False
        while not ended:
            ended = self._stop.wait(self.EVERY_S)  # a last look at the end, so that a short run has a figure too
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue  # it ended between the two looks
            self.peak_mb = max(self.peak_mb, round(total / 2**20, 1))


def table(steps: Iterable[Step], store: Store) -> list[dict[str, Any]]:
    """Return one row a finished step, with what all attempts at it cost, and a row with the totals."""
    found = [(step.label, store.done(step.stage.name, step.key)) for step in steps]
    return rows([(label, done.usage) for label, done in found if done])


def rows(costs: Sequence[tuple[str, Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Return labelled costs as rows with readable column titles, and their totals (peaks: the largest)."""
    table: list[dict[str, Any]] = []
    for label, cost in costs:
        table.append({"step": label, **{title: cost.get(name, 0.0) for name, title in COLUMNS.items()}})
    if table:
        table.append({"step": "all", **{title: _total(title, [row[title] for row in table]) for title in COLUMNS.values()}})
    return table


def _total(title: str, values: list[float]) -> float:
    return max(values) if "peak" in title else round(sum(values), 3)

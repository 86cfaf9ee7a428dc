"""Does one step: skip it when it is done, resume it when it is half done, else run it in a leased child and publish what it made.

Knows nothing of Prefect; the flows wrap these two functions in tasks, benchmarks and tests call them as they are.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core import atomic, devices, environments, keys, leases
from core.contract import to_dict
from core.errors import InvalidValueError
from core.graph import Step
from core.launcher import OutOfDeviceMemory, Usage, clean_environment, run_child
from core.store import Done, Store

Observer = Callable[[Step, dict[str, Any]], None]


def ignore_events(step: Step, event: dict[str, Any]) -> None:
    """Observer that looks away."""


@dataclass
class Engine:
    """What is needed to do steps on this host."""

    store: Store
    devices: Sequence[devices.Device] = field(default_factory=devices.discover)
    observe: Observer = ignore_events
    lease_folder: Path | None = None

    def parallel(self, step: Step) -> int:
        """Return how many children of this step's stage may run at the same time."""
        return len(devices.slots(self.devices, step.stage))

    def shard_groups(self, step: Step) -> list[list[int]]:
        """Return the unfinished shards, dealt to as many children as may run at once; empty when none is left."""
        if not step.stage.sharded or self.store.done(step.stage.name, step.key):
            return []
        finished = set(self.store.done_shards(step.stage.name, step.key))
        pending = [shard for shard in range(step.shards) if shard not in finished]
        width = min(self.parallel(step), len(pending))
        return [pending[offset::width] for offset in range(width)]

    def run_shards(self, step: Step, shards: Iterable[int]) -> None:
        """Do some shards of a step in one child; shards that are done, also by another flow meanwhile, are passed over.

        Raises:
            StageFailed, StageCrashed, StageTimeout, StageCancelled: see :func:`core.launcher.run_child`.
        """
        name = step.stage.name
        with ExitStack() as stack:
            # Sorted, so that two flows that want overlapping shards cannot wait for each other in a circle.
            locks = [stack.enter_context(self.store.locked(name, step.key, f"{shard:04d}")) for shard in sorted(shards)]
            finished = set() if not self.store.done(name, step.key) else set(range(step.shards))
            finished |= set(self.store.done_shards(name, step.key))
            left = [shard for shard in sorted(shards) if shard not in finished]
            if left:
                self._child(step, left, locks)

    def run(self, step: Step) -> Done:
        """Do a step to its end (for a sharded one: what is left of it, then the combining) and return its done record.

        Raises:
            StageFailed, StageCrashed, StageTimeout, StageCancelled: see :func:`core.launcher.run_child`.
        """
        name = step.stage.name
        with self.store.locked(name, step.key) as lock:
            done = self.store.done(name, step.key)
            if done:
                return done
            _check_inputs(self.store, step)
            self._child(step, None, [lock])
            return self.store.publish(name, step.key, step.identity, self._total_usage(step))

    def _child(self, step: Step, shards: list[int] | None, locks: list[int]) -> None:
        """Run one child on a leased device; after an out-of-memory exit once more with half the batch, where the request has one."""
        request = step.request
        try:
            self._attempt(step, request, shards, locks)
        except OutOfDeviceMemory:
            smaller = _with_half_batch(request)
            if smaller is None:
                raise
            self.observe(step, {"event": "log", "message": "out of device memory; trying once more with half the batch"})
            self._attempt(step, smaller, shards, locks)

    def _attempt(self, step: Step, request: Any, shards: list[int] | None, locks: list[int]) -> None:
        stage, folder = step.stage, self.store.attempt(step.stage.name, step.key)
        atomic.write_json(folder / "request.json", to_dict(request))
        interpreter = environments.python(stage.environment)
        if not interpreter.exists():
            raise InvalidValueError(
                "environment is not built", where=f"stage {stage.name}", allowed=f"envs/{stage.environment}/.venv",
                received="nothing there", hint=f"run ./run.sh setup {stage.environment}",
            )  # fmt: skip
        with leases.acquire(devices.slots(self.devices, stage), self.lease_folder) as lease:
            device, uuid = self._device(lease.slots[0])
            command = [
                str(interpreter), "-m", "core.host", f"tasks.{stage.name}", str(folder / "request.json"),
                "--output", str(self.store.partial(stage.name, step.key)), "--data-root", str(self.store.root), "--final", step.output,
                "--device", device, *(["--shards", ",".join(map(str, shards))] if shards is not None else []),
            ]  # fmt: skip
            usage = run_child(
                command, title=step.label, environment=clean_environment(stage.cpu_threads, uuid, self.store.root / "cache"),
                log=folder / "output.log", time_limit_s=stage.time_limit_s, silence_limit_s=stage.silence_limit_s,
                observer=lambda event: self.observe(step, event), descriptors=[*lease.descriptors, *locks], cwd=keys.ROOT,
            )  # fmt: skip
        atomic.write_json(folder / "usage.json", usage.__dict__)
        units = len(shards) if shards is not None else max(1, step.shards)
        self.store.remember_usage(stage.name, usage.__dict__, units if shards is not None or not step.stage.sharded else 0)

    def _device(self, slot: str) -> tuple[str, str]:
        """Return (torch device kind, CUDA_VISIBLE_DEVICES) for a leased slot."""
        for device in self.devices:
            if device.kind != "cpu" and slot.startswith(device.uuid):
                return device.kind, device.uuid if device.kind == "cuda" else ""
        return "cpu", ""

    def _total_usage(self, step: Step) -> dict[str, float]:
        """Sum what all attempts of a step cost (peak memory: the largest)."""
        total = Usage(0.0, 0.0, 0.0)
        for path in sorted((self.store.root / "attempts" / step.stage.name / step.key).glob("*/usage.json")):
            part = Usage(**json.loads(path.read_text()))
            peak = max(total.peak_memory_mb, part.peak_memory_mb)
            total = Usage(round(total.wall_s + part.wall_s, 3), round(total.cpu_s + part.cpu_s, 3), peak)
        return dict(total.__dict__)


def _check_inputs(store: Store, step: Step) -> None:
    for parent in step.parents:
        _, stage, key = parent.split("/")
        if not store.done(stage, key):
            raise InvalidValueError("input is not finished", where=step.label, allowed="a folder with a done record", received=parent)


def _with_half_batch(request: Any) -> Any | None:
    """Return the request with its runtime setting ``batch_size`` halved, or None when it has none or is at one clip already."""
    holder = request if hasattr(request, "batch_size") else getattr(request, "settings", None)
    size = getattr(holder, "batch_size", 1)
    if size < 2 or not dataclasses.is_dataclass(holder) or isinstance(holder, type):
        return None
    smaller = dataclasses.replace(holder, batch_size=size // 2)
    return smaller if holder is request else dataclasses.replace(request, settings=smaller)


def forget(store: Store, step: Step) -> None:
    """Set a step's published and half-done output aside so that it is done again (``force``); nothing is deleted before it is replaced."""
    shutil.rmtree(store.partial(step.stage.name, step.key), ignore_errors=True)
    published = store.output(step.stage.name, step.key)
    if published.exists():
        store.set_aside(published)

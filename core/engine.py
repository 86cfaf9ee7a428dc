"""Does one step: skip it when it is done, resume it when it is half done, else run it in a leased child and publish what it made.

Knows nothing of Prefect; the flows wrap these two functions in tasks, benchmarks and tests call them as they are.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core import atomic, devices, donors, environments, keys, launcher, leases, shards
from core.context import CLIPS_MADE, CLIPS_REUSED
from core.contract import to_dict
from core.devices import Device
from core.errors import InvalidValueError, StageCrashed, StageFailed
from core.graph import Step
from core.launcher import OutOfDeviceMemory, Usage, clean_environment, run_child
from core.store import Done, Store

Observer = Callable[[Step, dict[str, Any]], None]
CLIPS = "clips.json"
"""Clips that an attempt made and took over, where its stage counts them."""


def ignore_events(step: Step, event: dict[str, Any]) -> None:
    """Observer that looks away."""


@dataclass
class Engine:
    """What is needed to do steps on this host."""

    store: Store
    devices: Sequence[Device] = field(default_factory=devices.discover)
    observe: Observer = ignore_events
    lease_folder: Path | None = None
    stop: Callable[[], bool] = launcher.cancelled
    """Asked while waiting and while a child runs; True ends both."""
    afresh: frozenset[str] = frozenset()
    """Stages that take nothing over from earlier outputs: those a person wants done again (``force``)."""

    def parallel(self, step: Step) -> int:
        """Return how many children of this step's stage may run at the same time."""
        return devices.parallel(self.devices, step.stage, shards.wanted_devices(step.request))

    def shard_groups(self, step: Step, width: int | None = None) -> list[list[int]]:
        """Return the unfinished shards, dealt to as many children as may run at once, long ones first; empty when none is left.

        Args:
            step: a step of a sharded stage; of any other there are none.
            width: how many children may run at once, where that is not for this host alone to say.
        """
        if not step.stage.sharded or self.store.done(step.stage.name, step.key):
            return []
        finished = set(self.store.done_shards(step.stage.name, step.key))
        pending = [shard for shard in range(step.shards) if shard not in finished]
        return shards.deal(pending, shards.costs(step), width or self.parallel(step))

    def run_shards(self, step: Step, wanted: Iterable[int]) -> None:
        """Do some shards of a step in one child; shards that are done, also by another flow meanwhile, are passed over.

        Raises:
            StageFailed, StageCrashed, StageTimeout, StageCancelled: see :func:`core.launcher.run_child`.
        """
        name, order = step.stage.name, list(wanted)
        with ExitStack() as stack:
            # Sorted, so that two flows that want overlapping shards cannot wait for each other in a circle.
            locks = [stack.enter_context(self.store.locked(name, step.key, f"{shard:04d}", self.stop)) for shard in sorted(order)]
            if not self.store.done(name, step.key):
                self._shards(step, order, locks)

    def _shards(self, step: Step, order: list[int], locks: list[int]) -> None:
        """Run children until every shard is done or has failed for lack of device memory, which costs only the shard it met."""
        failed: dict[int, OutOfDeviceMemory] = {}
        while left := self._left(step, order, failed):
            try:
                self._child(step, step.request, left, locks)
            except OutOfDeviceMemory as error:
                culprit = next(iter(self._left(step, left)), None)
                if culprit is None:
                    continue
                smaller = _with_half_batch(step.request)
                failed[culprit] = error
                if smaller is not None:
                    self._say(step, f"out of device memory in shard {culprit}; trying it once more with half the batch")
                    try:
                        self._child(step, smaller, [culprit], locks)
                        del failed[culprit]
                    except OutOfDeviceMemory as again:
                        failed[culprit] = again
        if failed:
            raise next(iter(failed.values()))

    def _left(self, step: Step, order: Sequence[int], failed: Iterable[int] = ()) -> list[int]:
        passed = {*self.store.done_shards(step.stage.name, step.key), *failed}
        return [shard for shard in order if shard not in passed]

    def run(self, step: Step) -> Done:
        """Do a step to its end (for a sharded one: what is left of it, then the combining) and return its done record.

        Raises:
            StageFailed, StageCrashed, StageTimeout, StageCancelled: see :func:`core.launcher.run_child`.
        """
        name = step.stage.name
        with self.store.locked(name, step.key, stop=self.stop) as lock:
            done = self.store.done(name, step.key)
            if done:
                self.store.tidy(name, step.key)  # whoever published it may have been killed before
                return done
            _check_inputs(self.store, step)
            try:
                self._child(step, step.request, None, [lock])
            except OutOfDeviceMemory:
                smaller = _with_half_batch(step.request)
                if smaller is None:
                    raise
                self._say(step, "out of device memory; trying once more with half the batch")
                self._child(step, smaller, None, [lock])
            return self.store.publish(name, step.key, step.identity, self._total_usage(step))

    def _say(self, step: Step, message: str) -> None:
        self.observe(step, {"event": "log", "message": message})

    def _child(self, step: Step, request: Any, wanted: list[int] | None, locks: list[int]) -> None:
        """Run one child on a leased device; if the device disappears meanwhile, once more on another one."""
        while True:
            ranks = shards.wanted_devices(request)
            on_gpu = step.stage.uses_gpu and any(device.kind != "cpu" for device in self.devices)
            wide = dataclasses.replace(step.stage, cpu_threads=step.stage.cpu_threads * ranks, memory_mb=step.stage.memory_mb * ranks)
            stage = step.stage if on_gpu else wide  # the ranks of a training on the CPU share one place
            places = devices.choices(self.devices, stage, self.lease_folder)
            waiting = functools.partial(self.observe, step, {"event": "waiting"})
            with leases.acquire(places, self.lease_folder, together=ranks if on_gpu else 1, stop=self.stop, waiting=waiting) as lease:
                try:
                    return self._attempt(step, request, wanted, lease, locks, ranks)
                except (StageFailed, StageCrashed):
                    left = self._without_lost(lease.places)
                    if left is None:
                        raise
            self._say(step, f"{', '.join(lease.places)} disappeared; going on with {', '.join(device.label for device in left)}")
            self.devices = left
            wanted = None if wanted is None else self._left(step, wanted)

    def _without_lost(self, places: Sequence[str]) -> list[Device] | None:
        """Return the devices that are left if one of ``places`` is gone; None when all are there, or nothing is left."""
        cards = {device.uuid for device in self.devices if device.kind == "cuda" and device.uuid in places}
        lost = cards - {device.uuid for device in devices.cuda_devices()} if cards else set()
        left = [device for device in self.devices if device.uuid not in lost]
        return left if lost and left else None

    def _attempt(
        self, step: Step, request: Any, wanted: list[int] | None, lease: leases.Lease, locks: list[int], ranks: int
    ) -> None:  # fmt: skip
        stage, folder = step.stage, self.store.attempt(step.stage.name, step.key)
        atomic.write_json(folder / "request.json", to_dict(request))
        interpreter = environments.python(stage.environment)
        if not interpreter.exists():
            raise InvalidValueError(
                "environment is not built", where=f"stage {stage.name}", allowed=f"envs/{stage.environment}/.venv",
                received="nothing there", hint=f"run ./run.sh setup {stage.environment}",
            )  # fmt: skip
        cards = [device for device in self.devices if device.kind != "cpu" and device.uuid in lease.places]
        device = cards[0].kind if cards else "cpu"
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
        command = [
            str(interpreter), *torchrun, "-m", "core.host", f"tasks.{stage.name}", str(folder / "request.json"),
            "--output", str(self.store.partial(stage.name, step.key)), "--data-root", str(self.store.root), "--final", step.output,
            "--device", device, *(["--shards", ",".join(map(str, wanted))] if wanted is not None else []),
        ]  # fmt: skip
        given = [] if stage.name in self.afresh else donors.find(self.store, step)
        command += ["--donors", ",".join(given)] if given else []
        visible = ",".join(card.uuid for card in cards if card.kind == "cuda")
        counted: dict[str, float] = {}
        try:
            usage = run_child(
                command, title=step.label, environment=clean_environment(stage.cpu_threads, visible, self.store.root / "cache"),
                log=folder / "output.log", time_limit_s=stage.time_limit_s, silence_limit_s=stage.silence_limit_s,
                observer=lambda event: self._heard(step, event, counted), descriptors=[*lease.descriptors, *locks], cwd=keys.ROOT,
                stop=self.stop, gpus=len(cards),
            )  # fmt: skip
        finally:
            if counted:  # also of a child that failed: the shards that it finished stay
                atomic.write_json(folder / CLIPS, counted)
        atomic.write_json(folder / "usage.json", usage.__dict__)
        units = len(wanted) if wanted is not None else max(1, step.shards)
        self.store.remember_usage(stage.name, usage.__dict__, units if wanted is not None or not step.stage.sharded else 0)

    def _heard(self, step: Step, event: dict[str, Any], counted: dict[str, float]) -> None:
        """Hand an event on, and keep a child's latest count of the clips it made and took over."""
        if event["event"] == "metric" and event.get("name") in (CLIPS_MADE, CLIPS_REUSED):
            counted[event["name"]] = float(event["value"])
        self.observe(step, event)

    def _total_usage(self, step: Step) -> dict[str, float]:
        """Sum what all attempts of a step cost (peaks: the largest), and the clips that they made and took over."""
        total = dict.fromkeys((item.name for item in dataclasses.fields(Usage)), 0.0)
        attempts = self.store.root / "attempts" / step.stage.name / step.key
        for path in sorted([*attempts.glob("*/usage.json"), *attempts.glob(f"*/{CLIPS}")]):
            for name, value in json.loads(path.read_text()).items():
                before = total.get(name, 0.0)
                total[name] = max(before, value) if "peak" in name else round(before + value, 3)
        return total


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


def forget_forced(store: Store, graph: Iterable[Step], force: Iterable[str]) -> None:
    """Let the steps of the named stages be done again (``force``)."""
    names = set(force)
    for step in graph:
        if step.stage.name in names:
            forget(store, step)


def forget(store: Store, step: Step) -> None:
    """Set a step's published and half-done output aside so that it is done again (``force``); nothing is deleted before it is replaced."""
    shutil.rmtree(store.partial(step.stage.name, step.key), ignore_errors=True)
    for path in (store.root / "attempts" / step.stage.name / step.key).glob(f"*/{CLIPS}"):
        path.unlink()  # these clips are counted anew
    published = store.output(step.stage.name, step.key)
    if published.exists():
        store.set_aside(published)

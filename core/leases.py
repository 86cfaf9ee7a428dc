"""Device leases: an flock on a file per slot, inherited by the child, so a slot is free exactly when its user is gone.

A device is leased in units (cores of a CPU, 64ths of a GPU's or the host's memory), so that children of different stages, flows
and users share it without ever being promised more than there is.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import StageCancelled, StageTimeout
from core.locks import try_lock

TOLD_EVERY_S = 10.0
"""Between two words of somebody who waits."""
POLL_S = 0.05


@dataclass(frozen=True)
class Pool:
    """Units of one kind, of which a child needs some."""

    names: tuple[str, ...]
    take: int = 1


@dataclass(frozen=True)
class Choice:
    """One place a child could run: every pool must give what is asked of it."""

    place: str
    """Identity of the device; also names the gate that those who wait for it queue at."""
    pools: tuple[Pool, ...]


@dataclass
class Lease:
    """Held units; ``descriptors`` must be passed to the child, whose life then keeps them locked."""

    places: list[str] = field(default_factory=list)
    slots: list[str] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def release(self) -> None:
        """Close this process's descriptors; the units stay taken while a child still holds its own."""
        while self.descriptors:
            os.close(self.descriptors.pop())

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def default_folder() -> Path:
    """Return the folder of slot files, shared by all users and flows of this host."""
    folder = Path(os.environ.get("SYNTHLOOM_LEASES", Path(tempfile.gettempdir()) / "synthloom-leases"))
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(PermissionError):  # somebody else made it at this very moment
            folder.chmod(0o1777)
    return folder


def acquire(
    choices: Sequence[Choice], folder: Path | None = None, *, together: int = 1, timeout_s: float = 7 * 86400.0,
    stop: Callable[[], bool] = lambda: False, waiting: Callable[[], None] = lambda: None,
) -> Lease:  # fmt: skip
    """Wait for ``together`` different choices and lock what they ask for.

    Who waits for a place holds its gate, so that a child that needs many units is not overtaken for ever by those that need one,
    and nobody waits for a place that somebody else does not want.

    Args:
        choices: places that would do.
        folder: where the slot files live.
        together: how many of them are needed at the same time (GPUs of one training).
        timeout_s: how long to wait.
        stop: asked while waiting; True gives up.
        waiting: called now and then while waiting.

    Raises:
        StageTimeout: nothing became free in time.
        StageCancelled: ``stop`` said so.
    """
    if together > len(choices):
        raise StageTimeout(f"{together} devices are needed at the same time, {len(choices)} are there")
    place = folder or default_folder()
    deadline, told = time.monotonic() + timeout_s, time.monotonic()
    gates: dict[str, int] = {}
    lease = Lease()
    try:
        while True:
            _try_choices(place, choices, together, gates, lease)
            if len(lease.places) == together:
                return lease
            if stop():
                raise StageCancelled("the run was cancelled while it waited for a device")
            if time.monotonic() > deadline:
                raise StageTimeout(f"no device slot became free in time; waited for {together} of {[c.place for c in choices]}")
            if time.monotonic() - told >= TOLD_EVERY_S:
                told = time.monotonic()
                waiting()
            time.sleep(POLL_S)
    except BaseException:
        lease.release()
        raise
    finally:
        for gate in gates.values():
            os.close(gate)


def _try_choices(place: Path, choices: Sequence[Choice], together: int, gates: dict[str, int], lease: Lease) -> None:
    """Try every choice whose gate this waiter holds or can get; sorted, so that two wide waiters cannot wait for each other."""
    for choice in sorted(choices, key=lambda item: item.place):
        if choice.place in lease.places:
            continue
        if choice.place not in gates:
            gate = _open(place / f"{choice.place}.gate")
            if not try_lock(gate):
                os.close(gate)
                if together > 1:
                    return  # taking a later gate first could end in a circle
                continue
            gates[choice.place] = gate
        held = _try_all(place, choice)
        if held:
            lease.places.append(choice.place)
            lease.slots += held.slots
            lease.descriptors += held.descriptors
            if len(lease.places) == together:
                return


def _try_all(place: Path, choice: Choice) -> Lease | None:
    lease = Lease()
    for pool in choice.pools:
        missing = pool.take
        for name in pool.names:
            if not missing:
                break
            descriptor = _open(place / f"{name}.slot")
            if try_lock(descriptor):
                lease.slots.append(name)
                lease.descriptors.append(descriptor)
                missing -= 1
            else:
                os.close(descriptor)
        if missing:
            lease.release()
            return None
    return lease


def taken(folder: Path | None = None) -> list[str]:
    """Return the units that somebody on this host holds now, by trying their locks."""
    found = []
    for path in sorted((folder or default_folder()).glob("*.slot")):
        descriptor = _open(path)
        try:
            if not try_lock(descriptor):
                found.append(path.stem)
        finally:
            os.close(descriptor)
    return found


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    if os.fstat(descriptor).st_uid == os.getuid():
        os.fchmod(descriptor, 0o666)  # another user of this host must be able to wait for the same slot
    return descriptor

"""Which devices this machine has, found without torch, and how many children of a stage fit on each."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core import leases
from core.contract import Stage
from core.errors import InvalidValueError

SLOTS_PER_GPU = 4
"""Cap on children per GPU, whatever its memory: beyond it they only take turns."""
MEMORY_SHARE = 0.9
"""Share of the free memory that is handed out."""
NO_CAP = 10**9
UNITS = 64
"""Lease units that a GPU's memory, or the host's, is divided into."""


@dataclass(frozen=True)
class Device:
    """One GPU, or one CPU core as a slot of its own."""

    kind: str
    """``cuda``, ``mps`` or ``cpu``."""
    index: int
    uuid: str
    name: str
    free_memory_mb: int
    """Free memory when it was looked at; for CPU slots the host's available memory, shared by all of them."""
    total_memory_mb: int = 0
    """All of its memory; 0 where only the free memory is known."""

    @property
    def label(self) -> str:
        """Short name for the command line and the UI: ``cuda:0``, ``cpu:1``."""
        return f"{self.kind}:{self.index}"


def discover(wanted: str = "") -> list[Device]:
    """Return the devices to use: GPUs where there are any, else one CPU slot per core.

    Args:
        wanted: comma-separated choice such as ``cuda:0,cuda:2`` or ``cpu``; empty for all of the best kind.

    Raises:
        InvalidValueError: a wanted device does not exist.
    """
    gpus, cpus = cuda_devices() or mps_devices(), cpu_devices()
    if not wanted:
        return gpus or cpus
    chosen = []
    for part in (piece.strip() for piece in wanted.split(",")):
        matches = [device for device in [*gpus, *cpus] if part in (device.kind, device.label, device.uuid)]
        if not matches:
            known = [device.label for device in [*gpus, *cpus]]
            raise InvalidValueError("no such device", where="devices", allowed=known, received=part, hint="see ./run.sh doctor")
        chosen += [device for device in matches if device not in chosen]
    return chosen


def cuda_devices() -> list[Device]:
    """Return the NVIDIA GPUs that ``CUDA_VISIBLE_DEVICES`` leaves visible, as NVML sees them."""
    try:
        import pynvml  # nvidia-ml-py; absent in stage environments, which never look for devices
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []  # no driver: no GPU
    try:
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            uuid, name = str(pynvml.nvmlDeviceGetUUID(handle)), str(pynvml.nvmlDeviceGetName(handle))
            found.append(Device("cuda", index, uuid, name, int(memory.free) >> 20, int(memory.total) >> 20))
    except pynvml.NVMLError:
        return []  # a card fell off the bus between counting and asking; the next look sees what is left
    finally:
        pynvml.nvmlShutdown()
    return visible(found, os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible(devices: Sequence[Device], setting: str | None) -> list[Device]:
    """Apply CUDA's own rule: names or numbers in order, cut at the first one that does not exist; unset means all."""
    if setting is None:
        return list(devices)
    chosen: list[Device] = []
    for part in (piece.strip() for piece in setting.split(",")):
        match = [device for device in devices if part == str(device.index) or (part.startswith("GPU-") and device.uuid.startswith(part))]
        if len(match) != 1:
            break
        chosen += match
    return chosen


def mps_devices() -> list[Device]:
    """Return Apple's GPU as one device on Apple silicon."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return [Device("mps", 0, "mps", "Apple GPU", *memory_mb())]
    return []


def cpu_devices() -> list[Device]:
    """Return one slot per core this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free, total = memory_mb()
    return [Device("cpu", index, f"cpu-{index}", platform.processor() or platform.machine(), free, total) for index in range(cores)]


def memory_mb() -> tuple[int, int]:
    """Return the memory that could be used without swapping, and all of it, in MiB."""
    import psutil

    memory = psutil.virtual_memory()
    return int(memory.available) >> 20, int(memory.total) >> 20


def choices(devices: Sequence[Device], stage: Stage, folder: Path | None = None) -> list[leases.Choice]:
    """Return where a child of this stage could run: one choice per GPU, or the CPU as the only one.

    A GPU holds floor(0.9 × free memory ÷ declared memory) children, at most :data:`SLOTS_PER_GPU`. A child on the CPU takes
    ``cpu_threads`` cores and its share of the available memory. There is always room for one, which may still fit.
    """
    held = leases.taken(folder)
    gpus = _gpus(devices, stage)
    if gpus:
        return [leases.Choice(gpu.uuid, (_memory_pool(gpu, stage, held, SLOTS_PER_GPU),)) for gpu in gpus]
    cores = _cores(devices)
    width = min(stage.cpu_threads, len(cores))
    memory = dataclasses.replace(cores[0], uuid="memory")
    pools = (leases.Pool(tuple(core.uuid for core in cores), width), _memory_pool(memory, stage, held, NO_CAP))
    return [leases.Choice("cpu", pools)]


def parallel(devices: Sequence[Device], stage: Stage, together: int = 1) -> int:
    """Return how many children of a stage may run at the same time on devices that nobody else uses."""
    gpus = _gpus(devices, stage)
    if gpus:
        return max(1, sum(_children(gpu, stage, SLOTS_PER_GPU) for gpu in gpus) // together)
    cores = _cores(devices)
    return min(len(cores) // min(stage.cpu_threads, len(cores)), _children(cores[0], stage, len(cores)))


def _gpus(devices: Sequence[Device], stage: Stage) -> list[Device]:
    return [device for device in devices if device.kind != "cpu"] if stage.uses_gpu else []


def _cores(devices: Sequence[Device]) -> list[Device]:
    return [device for device in devices if device.kind == "cpu"] or cpu_devices()


def _children(device: Device, stage: Stage, cap: int) -> int:
    return max(1, min(cap, int(MEMORY_SHARE * device.free_memory_mb // max(1, stage.memory_mb))))


def _memory_pool(device: Device, stage: Stage, held: Sequence[str], cap: int) -> leases.Pool:
    """Return the units of a device's memory that may be handed out, and how many of them a child takes.

    What our own children hold already is not free for NVML any more, but it is leased, so it is added to what may be handed out;
    what foreign processes use is not. (A child that was leased memory but has not allocated it yet is counted as if it had.)
    """
    total = device.total_memory_mb or device.free_memory_mb
    unit = max(1e-3, MEMORY_SHARE * total / UNITS)
    names = [f"{device.uuid}-{number:02d}" for number in range(UNITS)]
    ours = [name for name in names if name in held]
    open_mb = min(MEMORY_SHARE * total, MEMORY_SHARE * device.free_memory_mb + len(ours) * unit)
    capacity = max(1, min(UNITS, math.floor(round(open_mb / unit, 6))))
    children = max(1, min(cap, int(open_mb // max(1, stage.memory_mb))))
    # As few units as hold the declared memory, but so many that no more than ``children`` fit.
    tight = max(math.ceil(stage.memory_mb / unit), capacity // (children + 1) + 1)
    free = [name for name in names if name not in held][: max(0, capacity - len(ours))]
    return leases.Pool(tuple(sorted([*ours, *free])), tight if tight * children <= capacity else max(1, capacity // children))

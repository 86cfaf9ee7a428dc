"""Which devices this machine has, found without torch, and how many children of a stage fit on each."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from core.contract import Stage
from core.errors import InvalidValueError

SLOTS_PER_GPU = 4
"""Cap on children per GPU, whatever its memory: beyond it they only take turns."""
MEMORY_SHARE = 0.9
"""Share of the free memory that is handed out."""


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
            free = int(pynvml.nvmlDeviceGetMemoryInfo(handle).free) >> 20
            found.append(Device("cuda", index, str(pynvml.nvmlDeviceGetUUID(handle)), str(pynvml.nvmlDeviceGetName(handle)), free))
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
        return [Device("mps", 0, "mps", "Apple GPU", available_memory_mb())]
    return []


def cpu_devices() -> list[Device]:
    """Return one slot per core this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = available_memory_mb()
    return [Device("cpu", index, f"cpu-{index}", platform.processor() or platform.machine(), free) for index in range(cores)]


def available_memory_mb() -> int:
    """Return the memory that could be used without swapping, in MiB."""
    import psutil

    return int(psutil.virtual_memory().available) >> 20


def slots(devices: Sequence[Device], stage: Stage) -> list[list[str]]:
    """Return the lease names, one list per child that may run at the same time on these devices.

    A GPU holds floor(0.9 × free memory ÷ declared memory) children, at most :data:`SLOTS_PER_GPU`. A child on the CPU takes
    ``cpu_threads`` core slots, and there are never more children than fit into the available memory, but always at least one.
    """
    gpus = [device for device in devices if device.kind != "cpu"]
    if stage.uses_gpu and gpus:
        return [[f"{gpu.uuid}-{slot}"] for gpu in gpus for slot in range(max(1, min(SLOTS_PER_GPU, _fitting(gpu, stage))))]
    cores = [device for device in devices if device.kind == "cpu"] or cpu_devices()
    width = min(stage.cpu_threads, len(cores))
    children = max(1, min(len(cores) // width, _fitting(cores[0], stage)))
    return [[core.uuid for core in cores[child * width : (child + 1) * width]] for child in range(children)]


def _fitting(device: Device, stage: Stage) -> int:
    return int(MEMORY_SHARE * device.free_memory_mb // max(1, stage.memory_mb))

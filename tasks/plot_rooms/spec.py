"""Draw a catalogue of room impulse responses: plans of rooms, energy decays with their fits, directions, reverberation times."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range

STAGE = Stage(name="plot_rooms", environment="data", version=1, memory_mb=800, time_limit_s=3600)


@dataclass(frozen=True)
class Request:
    """One catalogue."""

    catalogue: str
    """Folder of ``simulate_rooms`` or ``import_rirs``."""
    responses: int = 6
    """Responses that get a plan and a decay of their own; the choice hangs on the seed and the responses' ids."""
    seed: int = 0
    """Of the choice."""

    def __post_init__(self) -> None:
        check_range("plot_rooms.responses", self.responses, 0, 1000)


@dataclass(frozen=True)
class Result:
    """What was drawn."""

    pictures: int
    """Pictures written; ``pictures.json`` lists them."""

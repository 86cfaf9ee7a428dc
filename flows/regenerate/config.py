"""What a ``regenerate`` run can be told; the shape of ``configs/regenerate.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import check_range
from flows.settings import RunSettings


@dataclass(frozen=True)
class Config(RunSettings):
    """Keep one published dataset fresh."""

    flow: Literal["synthio"] = "synthio"
    """The flow that makes the dataset."""
    settings: tuple[str, ...] = ()
    """Its settings, as typed on the command line: ``dataset=demo``, ``num_samples=50``."""
    publish_as: str = "demo"
    """Lasting name of the dataset below ``published/``."""
    to: Literal["audiofolder", "csv", "webdataset"] = "audiofolder"
    """Form it is published in."""
    keep: int = 3
    """Versions to keep, the present one included."""

    def __post_init__(self) -> None:
        check_range("keep", self.keep, 1, 10_000)

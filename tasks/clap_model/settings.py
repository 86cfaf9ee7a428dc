"""What stages that open a published CLAP let one set. Specs inherit it, so nothing is imported here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClapTowers:
    """Which form of LAION-CLAP a published checkpoint has; the project's own checkpoints tell themselves."""

    audio_model: str = "HTSAT-base"
    """Audio tower of a published checkpoint."""
    text_model: str = "roberta"
    """Text tower of a published checkpoint; loaded with it also where nothing is read."""

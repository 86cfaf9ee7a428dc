"""Measure one source of synthetic clips: how close to the gold clips, how diverse, how much of it is copied, and that nothing leaked.

Validation and test clips are read for the leakage proof, and the validation clips for a distance that is only shown. Nothing that this
stage writes goes back: no stage that captions, generates, filters or trains takes its output, the report alone does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError
from tasks.clap_model.settings import ClapTowers

STAGE = Stage(name="measure_synthetic", environment="clap", version=1, memory_mb=3000, time_limit_s=6 * 3600, cpu_threads=1, uses_gpu=True)


@dataclass(frozen=True)
class Settings(ClapTowers):
    """What counts as a copy, and how much is drawn at random."""

    duplicate_correlation: float = 0.9
    """Spectrogram correlation from which two clips are near-duplicates."""
    duplicate_waveform: float = 0.8
    """Waveform correlation at the same shift from which they are, too: finds copies under noise, and after a change of sample rate.
    This bound alone decides whether a root is the same recording as a validation or test clip: two bells can ring alike."""
    waveform_from: float = 0.3
    """Spectrogram correlation from which the waveforms are compared at all; below, the shift means nothing."""
    least_overlap: float = 0.4
    """Share of the shorter clip that must overlap at a shift."""
    max_reference: int = 200
    """Most undrawn train clips that stand for "real and not gold"; more are thinned by a seeded order of their ids."""
    offenders: int = 50
    """Pairs listed in ``offenders.json``, the closest first."""
    on_leak: Literal["fail", "report"] = "fail"
    """What a found leak does: ``fail`` ends the stage with an error that names the clips; ``report`` counts it."""
    seed: int = 0
    """Seed of the subsets behind the extrapolated distance and the Vendi score at equal size."""

    def __post_init__(self) -> None:
        for name in ("duplicate_correlation", "duplicate_waveform", "waveform_from", "least_overlap"):
            check_range(f"measure_synthetic.{name}", getattr(self, name), 0.05, 1.0)
        check_range("measure_synthetic.max_reference", self.max_reference, 0, 100_000)
        check_range("measure_synthetic.offenders", self.offenders, 0, 100_000)


@dataclass(frozen=True)
class Request:
    """One source of synthetic clips, of one draw."""

    gold: str
    """Folder of the captioned gold clips."""
    evaluation: str
    """Folder of the prepared dataset; undrawn train clips are the reference, validation and test clips must not have been touched."""
    clips: tuple[str, ...]
    """Folders of the synthetic clips, of all rounds, after the filter; accepted train clips are measured."""
    checkpoint: str = external_path()
    """Folder of ``train_clap``, or a LAION-CLAP checkpoint file."""
    lineage: tuple[str, ...] = ()
    """Further folders that took part: captions, revised captions, clips before the filter, preference pairs. They enter the proof only."""
    settings: Settings = Settings()
    """What counts as a copy."""
    encoder: str = external_path(default="")
    """Folder of ``train_contrastive``, in whose embedding the Fréchet distances are taken as well; empty: in none."""

    def __post_init__(self) -> None:
        if not self.clips:
            raise InvalidValueError(
                "nothing to measure", where="measure_synthetic.clips", allowed="at least one folder", received=self.clips
            )


@dataclass(frozen=True)
class Result:
    """The measures; ``measures.json`` has all of them, by class too. None where there are too few clips."""

    clips: int
    """Accepted synthetic clips measured."""
    gold_clips: int
    """Gold clips they were measured against."""
    reference_clips: int
    """Real train clips that were not drawn; 0 where there are none, gold against gold is then the reference of closeness."""
    fad_clap: float | None
    """Fréchet distance to gold in CLAP's audio embedding."""
    fad_clap_infinity: float | None
    """The same, extrapolated to endlessly many synthetic clips."""
    fad_clap_reference: float | None
    """The same for the undrawn real clips: what a distance of zero difference looks like at this size."""
    fad_mel: float | None
    """Fréchet distance to gold of log-mel means and standard deviations, dB²."""
    fad_mel_reference: float | None
    """The same for the undrawn real clips."""
    fad_encoder: float | None
    """Fréchet distance to gold in the request's ``encoder``; None without one."""
    fad_encoder_infinity: float | None
    """The same, extrapolated to endlessly many synthetic clips."""
    fad_encoder_reference: float | None
    """The same for the undrawn real clips."""
    clap_score_label: float | None
    """Mean cosine of a clip with its label's text."""
    clap_score_caption: float | None
    """Mean cosine of a clip with its own caption."""
    vendi: float | None
    """Vendi score of the synthetic clips: an effective number of different clips."""
    vendi_at_gold_size: float | None
    """The same for subsets as large as the gold set, comparable with ``vendi_gold``."""
    vendi_gold: float | None
    """Vendi score of the gold clips."""
    pairwise_distance: float | None
    """Mean 1 − cosine over pairs of synthetic clips."""
    pairwise_distance_gold: float | None
    """The same for gold clips."""
    near_duplicates_of_gold: int
    """Synthetic clips that are near-duplicates of a gold clip."""
    near_duplicates_among: int
    """Synthetic clips that are near-duplicates of another synthetic clip."""
    closer_than_real: float | None
    """Probability that a synthetic clip correlates more with its nearest gold clip than a real one does; 0.5 is no memorisation."""
    leaked: int
    """Clips, of all that any folder names, that come from or equal a validation or test clip."""
    outside: int
    """Clips with a parent that no folder has, such as those retrieved from an outside pool; they were compared by their own sound."""
    pairs_compared: int
    """Pairs of a used clip or root and a validation or test clip that were compared."""
    closest_to_evaluation: float | None
    """Greatest spectrogram correlation found between a root and a validation or test clip."""

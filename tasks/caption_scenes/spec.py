"""Pair clips with room impulse responses and say in words where each sound is heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError
from tasks.language_model.settings import Asked, LanguageModelSettings

STAGE = Stage(name="caption_scenes", environment="data", version=1, memory_mb=1500, time_limit_s=24 * 3600)


@dataclass(frozen=True)
class Settings(LanguageModelSettings):
    """Which pairs, and how they are worded."""

    pairing: Literal["grid", "draw"] = "grid"
    """``grid``: every clip with every RIR, clip by clip; ``draw``: some RIRs for each clip."""
    per_clip: int = 2
    """RIRs a clip, for ``draw``."""
    split: Literal["", "train", "val", "test"] = ""
    """Only clips of this split; empty for all."""
    rir_split: Literal["", "train", "val", "test"] = ""
    """RIRs of this split for all clips; empty: a clip meets RIRs of its own split."""
    captions: Literal["first", "all"] = "first"
    """Where a clip has several captions: the first one, or a scene for each."""
    synonyms: bool = True
    """Draw among DISSE's synonyms; off: ELSA's one word for each."""
    templates: bool = True
    """Draw one of three templates; off: one sentence for all."""
    disse_compat: bool = False
    """DISSE's captions to the letter: left and right exchanged, reverberation by the nominal T30, a hole where no location word applies,
    one stream of random numbers through the whole grid (theirs has seed 42), and no language model."""
    seed: int = 42
    """Of pairs and words; sent to the language model, too."""
    language_model: Literal["grammar", "openai"] = "grammar"
    """``grammar``: the templates. ``openai``: train captions are rewritten by any server that speaks the OpenAI chat protocol, at
    ``OPENAI_BASE_URL`` with the key ``OPENAI_API_KEY``; a rewritten one that loses or contradicts a word is asked for again, and in the
    end the template is kept. Validation and test captions are always the templates'."""
    temperature: float = 0.9
    """Sampling temperature of the language model; ELSA's and DISSE's."""
    max_tokens: int = 1024
    """Longest answer of the language model, in tokens; likewise."""
    max_words: int = 50
    """Longest rewritten caption."""
    reasks: int = 3
    """How often a question is put again when the answer is malformed or unfit; after that the template is kept."""
    max_fallback_fraction: float = 0.5
    """Share of rewritten captions that may fall back to the template; above it the stage fails."""

    def __post_init__(self) -> None:
        where = "caption_scenes"
        self.check_language_model(where, fewest_words=12)
        check_range(f"{where}.per_clip", self.per_clip, 1, 1_000_000)
        if self.disse_compat and self.language_model != "grammar":
            hint = "leave out disse_compat to have captions rewritten"
            raise InvalidValueError(
                "DISSE rewrites nothing", where=f"{where}.language_model", allowed="grammar", received=self.language_model, hint=hint
            )


@dataclass(frozen=True)
class Request:
    """One table of scenes."""

    clips: str
    """Folder of the dry clips' manifest."""
    catalogue: str
    """Folder of the room impulse responses' catalogue."""
    settings: Settings = Settings()
    """Which pairs, and how they are worded."""
    sources: str = external_path(default="")
    """List of clips, in the order wanted: clip_ids or caption_ids, one a line or in a CSV's column (clip_id, source_id, caption_id,
    audiocap_id). Empty: all clips."""
    spaces: str = external_path(default="")
    """List of RIRs: spatial_ids or paths, one a line or in a CSV's column (spatial_id, space_id, rir_path). Empty: all RIRs."""


@dataclass(frozen=True)
class Result(Asked):
    """What was written."""

    scenes: int
    """Rows of ``scenes.parquet``."""
    sources: int
    """Different clips among them."""
    spaces: int
    """Different RIRs."""
    tuples: int
    """Different tuples of descriptive words."""
    rewritten: int
    """Captions by the language model."""

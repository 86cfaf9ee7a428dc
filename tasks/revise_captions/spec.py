"""Revise the captions of rejected clips with the components of the accepted ones (Synthio's self-reflection, section 1.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="revise_captions", environment="data", version=1, memory_mb=500, time_limit_s=24 * 3600)


@dataclass(frozen=True)
class Settings:
    """How to revise; names and meanings are those of ``caption``."""

    language_model: Literal["grammar", "openai"] = "grammar"
    """``grammar``: measured descriptors and a vocabulary by class, no service. ``openai``: any server that speaks the OpenAI chat
    protocol, at ``OPENAI_BASE_URL`` with the key ``OPENAI_API_KEY``."""
    model: str = "gpt-4o"
    """Name of the model at that server."""
    temperature: float = 0.7
    """Sampling temperature of the language model."""
    max_tokens: int = 4096
    """Longest answer of the language model, in tokens."""
    max_words: int = 25
    """Longest caption."""
    domain: str = ""
    """What kind of sounds these are, in words; told to the language model."""
    label_separator: str = ","
    """What stands between the labels of a clip (multi_label)."""
    reasks: int = 3
    """How often a question is put again when the answer is malformed or unfit; after that the caption stays as it was."""
    max_fallback_fraction: float = 0.1
    """Share of captions that may stay as they were for want of a usable answer; above it the stage fails."""
    seed: int = 0
    """Seed of the wording; sent to the language model, too."""
    timeout_s: float = runtime_setting(default=60.0)
    """How long one answer may take."""
    retries: int = runtime_setting(default=5)
    """How often a request is repeated after HTTP 429, a server error, a time-out or a lost connection."""
    requests_per_minute: float = runtime_setting(default=0.0)
    """Requests started per minute at most; 0: as many as the server takes."""
    parallel_requests: int = runtime_setting(default=4)
    """Requests under way at a time."""
    price_per_million_prompt_tokens: float = runtime_setting(default=0.0)
    """For the cost in the result, in whatever currency."""
    price_per_million_completion_tokens: float = runtime_setting(default=0.0)
    """For the cost in the result, in the same currency."""

    def __post_init__(self) -> None:
        check_range("revise_captions.max_words", self.max_words, 8, 200)
        check_range("revise_captions.temperature", self.temperature, 0.0, 2.0)
        check_range("revise_captions.max_tokens", self.max_tokens, 64, 1_000_000)
        check_range("revise_captions.reasks", self.reasks, 0, 20)
        check_range("revise_captions.max_fallback_fraction", self.max_fallback_fraction, 0.0, 1.0)
        check_range("revise_captions.timeout_s", self.timeout_s, 0.05, 3600.0)
        check_range("revise_captions.retries", self.retries, 0, 100)
        check_range("revise_captions.requests_per_minute", self.requests_per_minute, 0.0, 1e6)
        check_range("revise_captions.parallel_requests", self.parallel_requests, 1, 64)
        check_range("revise_captions.price_per_million_prompt_tokens", self.price_per_million_prompt_tokens, 0.0, 1e6)
        check_range("revise_captions.price_per_million_completion_tokens", self.price_per_million_completion_tokens, 0.0, 1e6)
        if not self.label_separator.strip():
            raise InvalidValueError(
                "empty", where="revise_captions.label_separator", allowed="a sign such as , or ;", received=self.label_separator
            )
        if not self.model:
            raise InvalidValueError("empty", where="revise_captions.model", allowed="the name of a model", received=self.model)


@dataclass(frozen=True)
class Request:
    """One round of self-reflection."""

    clips: str
    """Folder of the captioned gold clips."""
    rounds: tuple[str, ...]
    """Folders of the filtered clips of all rounds so far, first to last; the last one's rejected clips are revised."""
    round: int
    """Number of the round that the new captions are for; the first generation is round 0."""
    settings: Settings = Settings()
    """How to revise."""

    def __post_init__(self) -> None:
        check_range("revise_captions.round", self.round, 1, 1000)
        if not self.rounds:
            raise InvalidValueError(
                "nothing to revise", where="revise_captions.rounds", allowed="at least one folder", received=self.rounds
            )


@dataclass(frozen=True)
class Result:
    """What was revised, and what it cost."""

    clips: int
    """Gold clips with at least one rejected clip."""
    rejected: int
    """Rejected clips of the last round."""
    revised: int
    """Rejected clips that got a new caption."""
    unchanged: int
    """Rejected clips whose caption stayed: it is tried once more with another seed."""
    accepted: int
    """Clips accepted in any round, whose components the new captions stay away from."""
    fallbacks: int = 0
    """Captions among the unchanged ones for which no answer of the language model was usable."""
    requests: int = 0
    """HTTP requests sent, retries included."""
    cache_hits: int = 0
    """Questions answered from the cache on disk."""
    reasked: int = 0
    """Questions put again because the answer was malformed or unfit."""
    retried: int = 0
    """Requests repeated after HTTP 429, a server error or a time-out."""
    prompt_tokens: int = 0
    """As the server counted them."""
    completion_tokens: int = 0
    """As the server counted them."""
    cost: float = 0.0
    """Tokens times the prices in the settings."""

"""Caption the gold clips: the template, or one of Synthio's ways of captioning, by a grammar or by a language model (section 1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="caption", environment="data", version=2, memory_mb=500, time_limit_s=24 * 3600)


@dataclass(frozen=True)
class Settings:
    """How to caption."""

    mode: Literal["template", "plain", "plain_wo_caption", "mixcap", "supcon", "multi_label"] = "mixcap"
    """``template``: "Sound of a {label}". ``plain``: the clip's own description, rewritten with more events or context.
    ``plain_wo_caption``: label and domain only. ``mixcap``: acoustic components of the whole class, mixed into new captions.
    ``supcon``: label and domain, as different from each other as possible; also written as ``captions_supcon``.
    ``multi_label``: every caption contains all labels of its clip."""
    language_model: Literal["grammar", "openai"] = "grammar"
    """``grammar``: measured descriptors and a vocabulary by class, no service. ``openai``: any server that speaks the OpenAI chat
    protocol, at ``OPENAI_BASE_URL`` with the key ``OPENAI_API_KEY``."""
    model: str = "gpt-4o"
    """Name of the model at that server."""
    temperature: float = 0.7
    """Sampling temperature of the language model."""
    max_tokens: int = 4096
    """Longest answer of the language model, in tokens."""
    captions_per_clip: int = 5
    """Captions written for each clip, except in template mode."""
    pool_fraction: float = 0.75
    """Share of the class's pooled components that a clip's captions may draw from (mixcap)."""
    max_words: int = 25
    """Longest caption."""
    domain: str = ""
    """What kind of sounds these are, in words; told to the language model."""
    label_separator: str = ","
    """What stands between the labels of a clip (multi_label)."""
    reasks: int = 3
    """How often a question is put again when the answer is malformed or unfit; after that the grammar writes that clip's captions."""
    max_fallback_fraction: float = 0.1
    """Share of clips that may get the grammar's captions for want of a usable answer; above it the stage fails."""
    seed: int = 0
    """Seed of the pools and of the wording; sent to the language model, too."""
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
        check_range("caption.captions_per_clip", self.captions_per_clip, 1, 100)
        check_range("caption.pool_fraction", self.pool_fraction, 0.0, 1.0)
        check_range("caption.max_words", self.max_words, 8, 200)
        check_range("caption.temperature", self.temperature, 0.0, 2.0)
        check_range("caption.max_tokens", self.max_tokens, 64, 1_000_000)
        check_range("caption.reasks", self.reasks, 0, 20)
        check_range("caption.max_fallback_fraction", self.max_fallback_fraction, 0.0, 1.0)
        check_range("caption.timeout_s", self.timeout_s, 0.05, 3600.0)
        check_range("caption.retries", self.retries, 0, 100)
        check_range("caption.requests_per_minute", self.requests_per_minute, 0.0, 1e6)
        check_range("caption.parallel_requests", self.parallel_requests, 1, 64)
        check_range("caption.price_per_million_prompt_tokens", self.price_per_million_prompt_tokens, 0.0, 1e6)
        check_range("caption.price_per_million_completion_tokens", self.price_per_million_completion_tokens, 0.0, 1e6)
        if not self.label_separator.strip():
            raise InvalidValueError(
                "empty", where="caption.label_separator", allowed="a sign such as , or ;", received=self.label_separator
            )
        if not self.model:
            raise InvalidValueError("empty", where="caption.model", allowed="the name of a model", received=self.model)


@dataclass(frozen=True)
class Request:
    """One set of gold clips."""

    clips: str
    """Folder of the gold subset, also after ``describe``; train clips only."""
    settings: Settings = Settings()
    """How to caption."""


@dataclass(frozen=True)
class Result:
    """What was written, and what it cost."""

    clips: int
    """Clips captioned."""
    captions: int
    """Captions written."""
    distinct: int
    """Different captions among them."""
    mean_words: float
    """Mean length."""
    fallbacks: int = 0
    """Clips whose captions or components came from the grammar because no answer of the language model was usable."""
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

"""What stages that ask a language model let one set, and tell of its cost. Specs inherit it, so nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import check_range, runtime_setting
from core.errors import InvalidValueError


@dataclass(frozen=True, kw_only=True)
class LanguageModelSettings:
    """Which model, how it is asked, and what is done where its answers are of no use."""

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
    reasks: int = 3
    """How often a question is put again when the answer is malformed or unfit; after that the grammar's answer is taken."""
    max_fallback_fraction: float = 0.1
    """Share of clips that may get the grammar's answer for want of a usable one; above it the stage fails."""
    seed: int = 0
    """Seed of what is drawn, words included; sent to the language model, too."""
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

    def check_language_model(self, stage: str, fewest_words: int = 8) -> None:
        """Refuse what cannot be.

        Args:
            stage: for the names in errors.
            fewest_words: that ``max_words`` may be.

        Raises:
            InvalidValueError: with the setting's name.
        """
        for name, low, high in (
            ("temperature", 0.0, 2.0), ("max_tokens", 64, 1_000_000), ("max_words", fewest_words, 200), ("reasks", 0, 20),
            ("max_fallback_fraction", 0.0, 1.0), ("timeout_s", 0.05, 3600.0), ("retries", 0, 100), ("requests_per_minute", 0.0, 1e6),
            ("parallel_requests", 1, 64), ("price_per_million_prompt_tokens", 0.0, 1e6), ("price_per_million_completion_tokens", 0.0, 1e6),
        ):  # fmt: skip
            check_range(f"{stage}.{name}", getattr(self, name), low, high)
        if not self.model:
            raise InvalidValueError("empty", where=f"{stage}.model", allowed="the name of a model", received=self.model)


@dataclass(frozen=True, kw_only=True)
class CaptionerSettings(LanguageModelSettings):
    """Of stages that caption clips by their labels."""

    domain: str = ""
    """What kind of sounds these are, in words; told to the language model."""
    label_separator: str = ","
    """What stands between the labels of a clip (multi_label)."""

    def check_captioner(self, stage: str) -> None:
        """Refuse what cannot be, as :meth:`check_language_model` does."""
        self.check_language_model(stage)
        if not self.label_separator.strip():
            where = f"{stage}.label_separator"
            raise InvalidValueError("empty", where=where, allowed="a sign such as , or ;", received=self.label_separator)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the questions to a language model cost; part of a stage's result."""

    fallbacks: int = 0
    """Captions, or clips whose captions, came from elsewhere because no answer of the language model was usable: from the grammar or a
    template, or what there was stayed."""
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

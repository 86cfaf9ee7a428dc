"""Describe gold clips by an audio captioner; its words are what ``caption`` takes apart or rewrites (Synthio, section 1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(
    name="describe", environment="train", version=1, memory_mb=3000, time_limit_s=24 * 3600, cpu_threads=1, uses_gpu=True, sharded=True,
    row_inputs=("clips",),
)  # fmt: skip

PLACEHOLDERS = ("{input}", "{output}")


@dataclass(frozen=True)
class Settings:
    """Which captioner, and how."""

    captioner: Literal["command", "transformers"] = "transformers"
    """``command``: a program of yours, started once a batch. ``transformers``: a Whisper model trained to caption, or Qwen2-Audio."""
    command: tuple[str, ...] = ()
    """Program and arguments, no shell. ``{input}`` becomes a JSON-lines file of {clip_id, path}, ``{output}`` the JSON-lines file of
    {clip_id, caption} that the program must write."""
    command_version: str = ""
    """Any text; change it when the program has changed, so that the clips are described anew."""
    command_time_limit_s: float = runtime_setting(default=3600.0)
    """How long the program may take for one batch."""
    pretrained: str = external_path(default="")
    """Folder of a transformers checkpoint: config.json, model.safetensors, feature extractor and tokenizer."""
    hub_name: str = ""
    """Name of a checkpoint on the hub, or in its local cache; instead of ``pretrained``."""
    revision: str = "main"
    """Revision of ``hub_name``; name a commit to be sure of the same weights."""
    prompt: str = ""
    """Whisper: text that the caption goes on from (such as "clotho > caption: "). Qwen2-Audio: the question; empty: a plain one."""
    max_new_tokens: int = 100
    """Longest caption in tokens of the model."""
    max_words: int = 80
    """Words of the answer that are kept."""
    batch_size: int = runtime_setting(default=8)
    """Clips handed over at a time."""

    def __post_init__(self) -> None:
        check_range("describe.command_time_limit_s", self.command_time_limit_s, 0.1, 24 * 3600)
        check_range("describe.max_new_tokens", self.max_new_tokens, 1, 4096)
        check_range("describe.max_words", self.max_words, 1, 1000)
        check_range("describe.batch_size", self.batch_size, 1, 100_000)
        missing = [name for name in PLACEHOLDERS if not any(name in word for word in self.command)]
        if self.captioner == "command" and missing:
            raise InvalidValueError(
                "placeholders missing", where="describe.command", allowed='a list such as ["caption-it", "{input}", "{output}"]',
                received=list(self.command), hint="see docs/captions.md",
            )  # fmt: skip
        if self.captioner == "transformers" and bool(self.pretrained) == bool(self.hub_name):
            raise InvalidValueError(
                "name one model", where="describe.pretrained or describe.hub_name", allowed="a folder, or a name on the hub",
                received=[self.pretrained, self.hub_name],
                hint="without a captioner leave this stage out: caption measures the clips itself",
            )  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One set of gold clips."""

    clips: str
    """Folder of the gold subset; train clips only."""
    settings: Settings
    """Which captioner, and how."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""

    def __post_init__(self) -> None:
        check_range("describe.shards", self.shards, 1, 100_000)


@dataclass(frozen=True)
class Result:
    """What was described."""

    clips: int
    """Clips described."""
    distinct: int
    """Different descriptions among them."""
    mean_words: float
    """Mean length."""

"""Captions by a transformers model: Whisper trained to caption (Kadlčík et al., 2023), or Qwen2-Audio (Chu et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoProcessor, GenerationMixin, Qwen2AudioForConditionalGeneration, WhisperForConditionalGeneration

from core.audio import Samples
from core.errors import InvalidValueError
from tasks.describe.spec import Settings
from tasks.language_model.text import clean

KINDS: dict[str, Any] = {"whisper": WhisperForConditionalGeneration, "qwen2_audio": Qwen2AudioForConditionalGeneration}
"""Architectures by ``model_type``."""
QUESTION = "Describe the sounds in this recording in one sentence."
SMALLEST_VOCABULARY = 1000
"""Offline, transformers gives a tokenizer without its files a handful of tokens instead of an error."""


@dataclass
class Captioner:
    """A model with what prepares its input."""

    kind: str
    """``model_type`` of its configuration."""
    model: Any
    """In evaluation mode."""
    processor: Any
    """Feature extractor and tokenizer."""
    settings: Settings
    """Prompt and lengths."""

    @property
    def rate_hz(self) -> int:
        """Sample rate that the model was trained at."""
        return int(self.processor.feature_extractor.sampling_rate)

    @torch.no_grad()
    def describe(self, sounds: Sequence[Samples]) -> list[str]:
        """Return one caption per sound, greedily decoded; a sound longer than the model's window (30 s) is cut.

        Args:
            sounds: float32 [samples] each, at :attr:`rate_hz`.
        """
        texts = self._whisper(sounds) if self.kind == "whisper" else self._chat(sounds)
        return [clean(text) for text in texts]

    def _whisper(self, sounds: Sequence[Samples]) -> list[str]:
        tokenizer = self.processor.tokenizer
        prompt = tokenizer(self.settings.prompt, add_special_tokens=False).input_ids if self.settings.prompt else []
        begin = [*(tokenizer.prefix_tokens or [self.model.config.decoder_start_token_id]), *prompt]
        features = self.processor.feature_extractor(list(sounds), sampling_rate=self.rate_hz, return_tensors="pt").input_features
        # Not Whisper's own generate: it thinks in languages, time stamps and segments of speech.
        made = GenerationMixin.generate(
            self.model, features.to(self.model.device, self.model.dtype), max_new_tokens=self.settings.max_new_tokens, do_sample=False,
            num_beams=1, decoder_input_ids=torch.tensor([begin] * len(sounds), device=self.model.device),
        )  # fmt: skip
        return list(tokenizer.batch_decode(made[:, len(begin) :], skip_special_tokens=True))

    def _chat(self, sounds: Sequence[Samples]) -> list[str]:
        talk = [
            {
                "role": "user",
                "content": [{"type": "audio", "audio_url": "clip"}, {"type": "text", "text": self.settings.prompt or QUESTION}],
            }
        ]
        text = self.processor.apply_chat_template(talk, add_generation_prompt=True, tokenize=False)
        self.processor.tokenizer.padding_side = "left"  # what is generated must follow the prompt, not the padding
        inputs = self.processor(
            text=[text] * len(sounds), audio=list(sounds), sampling_rate=self.rate_hz, return_tensors="pt", padding=True
        ).to(self.model.device)
        inputs["input_features"] = inputs["input_features"].to(self.model.dtype)
        made = self.model.generate(**inputs, max_new_tokens=self.settings.max_new_tokens, do_sample=False, num_beams=1)
        return list(self.processor.tokenizer.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def load(settings: Settings, device: str) -> Captioner:
    """Load a captioner from a folder or the hub (its cache, when offline).

    Raises:
        InvalidValueError: there is no such checkpoint, its architecture is not known, or its tokenizer is empty.
    """
    source, where = (settings.pretrained, "describe.pretrained") if settings.pretrained else (settings.hub_name, "describe.hub_name")
    options = {} if settings.pretrained else {"revision": settings.revision}
    try:
        config = AutoConfig.from_pretrained(source, **options)
        kind = str(config.model_type)
        if kind not in KINDS:
            raise InvalidValueError("not an audio captioner that is known", where=where, allowed=sorted(KINDS), received=kind)
        processor = AutoProcessor.from_pretrained(source, **options)
        # Weights as safetensors only: a pickled checkpoint could run code.
        dtype = "auto" if device == "cuda" else torch.float32
        model = KINDS[kind].from_pretrained(source, use_safetensors=True, dtype=dtype, **options)
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(
            "cannot be loaded", where=where, allowed="a transformers checkpoint with safetensors, feature extractor and tokenizer",
            received=f"{source}: {str(error)[:500]}", hint="offline, a name on the hub works only when its files are in the local cache",
        ) from error  # fmt: skip
    _check_tokenizer(len(processor.tokenizer), int(config.get_text_config().vocab_size), where)
    return Captioner(kind, model.to(device).eval(), processor, settings)


def _check_tokenizer(known: int, expected: int, where: str) -> None:
    """Refuse a tokenizer that was made up for want of its files: every caption would be empty or nonsense."""
    if known != expected and not SMALLEST_VOCABULARY < known <= expected:
        raise InvalidValueError(
            "the tokenizer does not fit the model", where=where, allowed=f"{expected} tokens, or more than {SMALLEST_VOCABULARY} of them",
            received=f"{known} tokens", hint="are its files in the folder, or in the hub's local cache?",
        )  # fmt: skip

"""stable-audio-tools' T5 prompt encoder, with its weights from the hub cache alone and prompts that are never cut."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from stable_audio_tools.models.conditioners import Conditioner, T5Conditioner

from core.errors import InvalidValueError
from tasks import hub

SMALLEST_VOCABULARY = 1000
REMEMBERED = 2048
"""Prompts whose embeddings are kept: the encoder is frozen, and every caption comes back in every epoch and iteration."""


class HubT5Conditioner(T5Conditioner):
    """Prompts → (embeddings [batch, max_length, dim], mask [batch, max_length]), as stable-audio-tools' own class computes them.

    That class hands the name to transformers, which prefers a folder of this name in the working directory, and it cuts long prompts.
    The encoder's weights are frozen, half precision, and no part of the state dict.
    """

    def __init__(
        self, output_dim: int, t5_model_name: str = "t5-base", max_length: int = 128, project_out: bool = False, revision: str = ""
    ) -> None:
        # Here: every stage with a model imports this module, and those without a T5 need not wait for transformers.
        from transformers import AutoTokenizer, T5EncoderModel

        if t5_model_name not in self.T5_MODELS or t5_model_name not in self.T5_MODEL_DIMS:
            allowed = sorted(set(self.T5_MODELS) & set(self.T5_MODEL_DIMS))
            raise InvalidValueError("unknown text encoder", where="t5_model_name", allowed=allowed, received=t5_model_name)
        Conditioner.__init__(self, self.T5_MODEL_DIMS[t5_model_name], output_dim, project_out=project_out)
        self.max_length, self.enable_grad, self.name = max_length, False, t5_model_name
        self._known: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        pinned = f"{t5_model_name}@{revision}" if revision else t5_model_name
        folder = hub.snapshot(pinned, ["*.json", "spiece.model", "*.safetensors"], "t5_model_name")
        if not any(folder.glob("*.safetensors")):  # the older ones have only this
            folder = hub.snapshot(pinned, ["*.json", "spiece.model", "pytorch_model*.bin"], "t5_model_name")
        self.revision = hub.revision_of(folder)
        try:
            with _quiet():
                self.tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
                encoder = T5EncoderModel.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError) as error:
            hint = f"the cached copy is incomplete: run `hf download {t5_model_name}` again"
            raise InvalidValueError("cannot be loaded", where="t5_model_name", received=str(error)[:300], hint=hint) from error
        if len(self.tokenizer) <= SMALLEST_VOCABULARY:
            # transformers 5 returns an empty tokenizer without a word when files are missing: all prompts would be alike.
            hint = "the hub cache (HF_HOME) holds no tokenizer files for it"
            allowed = f"> {SMALLEST_VOCABULARY} tokens"
            raise InvalidValueError("empty tokenizer", where=t5_model_name, allowed=allowed, received=len(self.tokenizer), hint=hint)
        # Past torch's registration, as upstream: the frozen encoder is neither saved nor expected in a checkpoint.
        self.__dict__["model"] = encoder.eval().requires_grad_(False).to(torch.float16)

    def forward(self, texts: list[str], device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode prompts; the frozen part only once for each text.

        Raises:
            InvalidValueError: a prompt has more tokens than ``max_length``; a prompt is never cut behind one's back.
        """
        for text in dict.fromkeys(texts):
            if text not in self._known:
                if len(self._known) >= REMEMBERED:
                    self._known.pop(next(iter(self._known)))
                self._known[text] = self._encode(text, device)
        known = [self._known.get(text) or self._encode(text, device) for text in texts]
        embedded, mask = (torch.stack(parts).to(device) for parts in zip(*known, strict=True))
        if not isinstance(self.proj_out, torch.nn.Identity):
            embedded = embedded.to(self.proj_out.weight.dtype)
        return self.proj_out(embedded) * mask[..., None].float(), mask

    @torch.no_grad()
    def _encode(self, text: str, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one text's frozen embeddings [max_length, dim] and mask; alone, so that they hang on no batch."""
        length = len(self.tokenizer(text)["input_ids"])
        if length > self.max_length:
            raise InvalidValueError(f"has {length} tokens", where="prompt", allowed=f"at most {self.max_length} tokens", received=text)
        tokens = self.tokenizer([text], padding="max_length", max_length=self.max_length, truncation=True, return_tensors="pt")
        mask = tokens["attention_mask"].to(device).to(torch.bool)
        self.model.to(device)
        return self.model(input_ids=tokens["input_ids"].to(device), attention_mask=mask)["last_hidden_state"][0], mask[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' loading bars out of the stage's log."""
    before = os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS")
    with contextlib.redirect_stderr(io.StringIO()):
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        try:
            yield
        finally:
            os.environ.pop("HF_HUB_DISABLE_PROGRESS_BARS")
            if before is not None:
                os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = before

"""Shared by every stage that runs torch: what multiplies float32 matrices on a CPU, how attention is worked out, in which format."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

PLAIN_ATTENTION_TOKENS = 768
"""Longest sequence whose whole attention matrix is held; beyond it, memory (batch × heads × length²) outweighs speed."""


def use_fast_float32(device: str, tokens: int = 0) -> None:
    """Let oneDNN multiply float32 matrices on the CPU for the rest of this process, in attention too.

    By default torch takes MKL, which leaves half of an AMD processor's vector width unused: 100 GFLOP/s a core against oneDNN's 220 on
    an EPYC with AVX-512, at the same rounding error (4e-5 for 192-term sums, both). The switch is torch's "medium" precision. On
    processors with AMX tiles it would really multiply in bfloat16, and MKL is fast there, so that they keep the default. On a GPU it
    would mean TF32, so that nothing is switched there.

    torch's blockwise attention makes many tiny products, which oneDNN is slow at: with short sequences the plain formula takes its place
    (training steps 1.3 times as fast for the classifier, 1.5 for the diffusion transformer).

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        tokens: length of the sequences that attend; 0 where the stage does not know, which leaves attention as it is.
    """
    if device != "cpu" or torch.cpu._is_amx_tile_supported():
        return
    torch.set_float32_matmul_precision("medium")
    if 0 < tokens <= PLAIN_ATTENTION_TOKENS:
        torch.backends.cuda.enable_flash_sdp(False)  # the switch has CUDA in its name and holds for the CPU's kernel as well


def number_format(device: str | torch.device, precision: str) -> AbstractContextManager[None]:
    """Let layers compute in ``float32`` or ``bfloat16`` within the block (torch's autocast); weights stay as they are."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")

"""Shared by every stage that runs torch on the CPU: which library multiplies its float32 matrices."""

from __future__ import annotations

import torch


def use_fast_float32() -> None:
    """Let oneDNN multiply float32 matrices on the CPU for the rest of this process.

    By default torch takes MKL, which leaves half of an AMD processor's vector width unused: 100 GFLOP/s a core against oneDNN's 220 on
    an EPYC with AVX-512, at the same rounding error (4e-5 for 192-term sums, both). The switch is torch's "medium" precision. On
    processors with AMX tiles it would really multiply in bfloat16, and MKL is fast there, so that they keep the default.
    """
    if not torch.cpu._is_amx_tile_supported():
        torch.set_float32_matmul_precision("medium")

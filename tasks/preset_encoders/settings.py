"""Which encoders there are. Specs take the name from here, so nothing is imported."""

from __future__ import annotations

from typing import Literal, get_args

ModelName = Literal["mlp_oh", "hn_oh", "hn_pt", "hn_ptgru", "tfm", "tfm_modules", "mlp_raw", "resnet_oh", "bigru_oh"]
"""A preset encoder; what each is made of is in ``encoder.py``."""
MODELS: tuple[str, ...] = get_args(ModelName)

"""The dataset card, ``README.md`` beside the clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.grid.reading import Factor

FORMULAS = """\
With θ = 2π·frequency·t + phase, taken modulo 2π, and full amplitude:

| waveform | naive | band_limited: harmonics below half the sample rate of |
|---|---|---|
| sine | sin θ | sin θ |
| triangle | 2θ/π − 1 up to θ = π, then 3 − 2θ/π | −8/π² Σ cos kθ / k², k odd |
| sawtooth | θ/π − 1 | −2/π Σ sin kθ / k |
| square | 1 while θ < 2π·duty, then −1 | 2·duty − 1 + Σ 2/(πk) (sin 2πk·duty cos kθ + (1 − cos 2πk·duty) sin kθ) |

Duty is 0.5 and phase 0 unless they are factors. A clip is amplitude × waveform × envelope, plus white
noise where `noise` (signal-to-noise ratio in dB) is a factor."""


def card(description: dict[str, Any], factors: Sequence[Factor], source: str) -> str:
    """Return the card's Markdown.

    Args:
        description: what ``grid.json`` says.
        factors: of the grid, in row order.
        source: where the clips come from, if they were not synthesised.
    """
    order = " → ".join(factor.name for factor in factors)
    made = "taken from a published file" if source else f"synthesised ({description['oscillator']} oscillators)"
    rows = "\n".join(f"| {f.name} | {f.kind} | {len(f.values)} | {_span(f)} |" for f in factors)
    warnings = "\n".join(f"- {text}" for text in description["warnings"]) or "None."
    axis = "" if source else f"The time axis {'includes its end point' if description['legacy_time_axis'] else 'is n / sample rate'}.\n"
    return f"""\
---
license: mit
task_categories: [audio-classification]
tags: [synthetic, disentanglement]
---
# A grid of {description["clips"]} tones

Mono clips of {description["samples"]} samples at {description["sample_rate_hz"]} Hz ({description["duration_s"]:g} s), {made}: one for each
combination of the factors below, whose values are therefore known exactly. Made to measure what a representation has learnt of them.

## Factors

| factor | kind | values | range |
|---|---|---|---|
{rows}

Rows are in the order {order}, the first changing slowest. `factors.parquet` has one row per clip; nominal columns hold the number
of the value in `grid.json`. A clip's columns beside its sound hold names instead.

## Formulas

{FORMULAS if not source else "Those of the published generator, which wrote the file."}
{axis}
## Warnings

{warnings}

## Reading

```python
from pathlib import Path
from tasks.grid.reading import open_grid

with open_grid(Path("this folder")) as grid:
    table, sounds = grid.table(), grid.samples(0, 4)  # float32 [4, {description["samples"]}]
```

{_other_readers(description)}

## Licence

Computed from formulas, with nobody's recordings; under the licence of synthloom (MIT).
"""


def _span(factor: Factor) -> str:
    if factor.kind == "nominal":
        return ", ".join(str(value) for value in factor.values)
    unit = f" {factor.unit}" if factor.unit else ""
    numbers = [float(value) for value in factor.values]
    return f"{min(numbers):g} … {max(numbers):g}{unit}"


def _other_readers(description: dict[str, Any]) -> str:
    """Say how to read the clips without this project."""
    if description["form"] == "parquet":
        return "Without synthloom: `clips/*/clips.parquet` is plain Parquet, its column `samples` a fixed-size list of float32."
    return "Without synthloom: `clips/*/clips.tar` are WebDataset shards of `<row>.wav` (float32) and `<row>.json`."

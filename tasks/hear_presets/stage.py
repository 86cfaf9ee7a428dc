"""Embeds the kept sounds shard by shard; then writes ``embeddings.npy`` and ``presets.json``, and links everything else of the set.

What two sets must agree on stays as it was rendered, but for ``audio_model``, which becomes CLAP's identity; ``heard`` says how it
listened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from core import atomic, audio
from core.context import Context
from core.errors import InvalidValueError
from core.rows import shard_rows
from tasks.clap_model.audio_model import ClapEar, open_clap
from tasks.hear_presets.sounds import open_sounding, read
from tasks.hear_presets.spec import Request, Result
from tasks.matmul import use_fast_float32
from tasks.presets import reading
from tasks.render_presets import joining, shard_files

BLOCK = 32
"""Sounds heard together. Shards are made of whole blocks, so that no vector hangs on their number."""
KEPT = (
    reading.PARAMETERS, reading.AUDIO, reading.MEL, reading.TABLE, reading.REJECTED, "kept.json", "removed.json", "mel_statistics.json",
)  # fmt: skip
"""Files of a preset set that hearing does not change."""
VECTORS = "embeddings"


def blocks_of(rows: int, shards: int) -> list[list[range]]:
    """Return the blocks of each shard: every one but the set's last has :data:`BLOCK` rows."""
    dealt = shard_rows(-(-rows // BLOCK), shards)
    return [[range(at * BLOCK, min((at + 1) * BLOCK, rows)) for at in some] for some in dealt]


def run_shards(request: Request, context: Context, shards: list[int]) -> None:
    """Load the model once, then hear each shard's sounds."""
    torch.set_num_threads(context.threads)
    use_fast_float32(context.device)
    presets, sounds = open_sounding(context.resolve(request.presets))
    ear = _opened(request, context)
    rate_hz = presets.meta["sample_rate_hz"]
    blocks = blocks_of(len(presets), request.shards)
    total, done = sum(len(block) for shard in shards for block in blocks[shard]), 0
    for shard in shards:
        heard = 0
        with context.shard(shard) as folder:
            with shard_files.ArrayFiles(folder, {VECTORS: "float32"}) as files:
                for block in blocks[shard]:
                    given = audio.resample(read(sounds, block), rate_hz, ear.sample_rate_hz)
                    with torch.inference_mode():
                        files.add(VECTORS, ear(torch.from_numpy(given)).float().cpu().numpy())
                    heard += len(block)
                    done += len(block)
                    context.progress(done, total, "presets")
            shard_files.tell(folder, {"rows": heard, "made": _circumstances(ear, sounds.shape[1], rate_hz)})


def _opened(request: Request, context: Context) -> ClapEar:
    settings = request.settings
    return open_clap(context.locate(request.checkpoint), settings.audio_model, settings.text_model, context.device, settings.reduction)


def _circumstances(ear: ClapEar, samples: int, rate_hz: int) -> dict[str, Any]:
    """Return what a shard's vectors hang on; alike in all shards of a set."""
    one = audio.resample(np.zeros(samples, np.float32), rate_hz, ear.sample_rate_hz)
    return {
        "audio_model": ear.identity, "dimensions": ear.dimensions, "includes_mel": ear.includes_mel, "sample_rate_hz": ear.sample_rate_hz,
        "window_s": ear.window_s, "windows": len(ear.embedder.cut(one, ear.sample_rate_hz)),
    }  # fmt: skip


def run(request: Request, context: Context) -> Result:
    """Put the shards together."""
    source = context.resolve(request.presets)
    presets, _ = open_sounding(source)
    folders = [context.shard_folder(shard) for shard in range(request.shards)]
    told = [shard_files.told_of(folder) for folder in folders]
    made = _agreed([one["made"] for one in told])
    rows = joining.join(folders, VECTORS, "float32", (made["dimensions"],), context.output / reading.EMBEDDINGS)
    if rows != len(presets):
        raise InvalidValueError("rows are missing", where="hear_presets", allowed=len(presets), received=rows)
    for name in KEPT:
        if (source / name).is_file():
            atomic.link(source / name, context.output / name)
    changed = {name: made[name] for name in ("audio_model", "dimensions", "includes_mel")}
    heard = {name: made[name] for name in ("sample_rate_hz", "window_s", "windows")}
    atomic.write_json(context.output / reading.META, {**presets.meta, **changed, "heard": heard})
    return Result(rows=rows, dimensions=made["dimensions"], windows=made["windows"], audio_model=made["audio_model"])


def _agreed(made: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what all shards tell alike.

    Raises:
        InvalidValueError: the checkpoint was another one for some.
    """
    for one in made:
        if one != made[0]:
            hint = "delete the stage's unfinished output and run it again"
            raise InvalidValueError("shards were heard by different models", where="hear_presets.checkpoint",
                                    allowed=made[0]["audio_model"], received=one["audio_model"], hint=hint)  # fmt: skip
    return made[0]

"""Reads gold clips and pairs, and encodes every clip once: from its start, as it is, so winner and loser are cut alike."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd
import torch

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.align_text_to_audio.spec import Request
from tasks.text_to_audio.captions import captions_of
from tasks.text_to_audio.model import TextToAudio

PAIR_COLUMNS = ("preferred", "not_preferred", "captions", "gold_id", "split", "seconds")


@dataclass
class Data:
    """Everything the training reads, in memory. Clips are numbers of rows of ``latents``."""

    latents: torch.Tensor
    """[clips, channels, frames], on the model's device; each clip once, in however many pairs it is."""
    gold_clips: int = 0
    """How many gold clips there are, also where the training reads none of them by itself."""
    gold: list[int] = field(default_factory=list)
    gold_captions: list[list[str]] = field(default_factory=list)
    """Every caption of each gold clip, whole."""
    gold_seconds: list[float] = field(default_factory=list)
    winners: list[int] = field(default_factory=list)
    """One entry per pair, as in the next three."""
    losers: list[int] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    """The one caption of each pair, whole."""
    seconds: list[float] = field(default_factory=list)


def read(request: Request, context: Context, model: TextToAudio) -> Data:
    """Load what the method needs.

    Raises:
        InvalidValueError: no gold clips, no pairs, clips that are not train clips, or pairs of other gold clips.
    """
    gold = manifest.accepted(manifest.read(context.resolve(request.gold)))
    manifest.require_train(gold, request.gold)
    if not len(gold):
        raise InvalidValueError("no accepted clips", where=request.gold, allowed="at least one captioned train clip", received="none")
    pairs = _pairs(request, context, set(gold["clip_id"])) if request.pairs else pd.DataFrame(columns=list(PAIR_COLUMNS))
    uses_gold = request.settings.method == "erm" or request.settings.sft_steps > 0
    paths = [*(gold["path"] if uses_gold else ()), *pairs["preferred"], *pairs["not_preferred"]]
    index = {path: number for number, path in enumerate(dict.fromkeys(map(str, paths)))}
    data = Data(_encode(list(index), context, model), len(gold))
    for row in gold.itertuples() if uses_gold else ():
        data.gold.append(index[str(row.path)])
        data.gold_captions.append(captions_of(row))
        data.gold_seconds.append(min(float(row.duration_s), model.canvas_s))
    data.winners, data.losers = [index[path] for path in pairs["preferred"]], [index[path] for path in pairs["not_preferred"]]
    data.prompts, data.seconds = list(pairs["captions"]), [min(float(part), model.canvas_s) for part in pairs["seconds"]]
    _encode_prompts(data, model)
    return data


def _pairs(request: Request, context: Context, gold: set[str]) -> pd.DataFrame:
    """Return the table of pairs, checked."""
    table = pd.read_parquet(context.resolve(request.pairs) / "pairs.parquet")
    missing = [name for name in PAIR_COLUMNS if name not in table.columns]
    if missing or not len(table):
        received = f"without {missing}" if missing else "no pair"
        raise InvalidValueError("no table of pairs", where=request.pairs, allowed=f"rows with {PAIR_COLUMNS}", received=received)
    if (table["split"] != "train").any():
        raise InvalidValueError(
            "pairs that are not train clips", where=request.pairs, allowed="split train", received=sorted(set(table["split"]))
        )
    strangers = sorted(set(table["gold_id"]) - gold)
    if strangers:
        raise InvalidValueError(
            f"pairs of clips that {request.gold} does not hold", where=request.pairs, allowed="pairs made of these gold clips",
            received=strangers[:5],
        )  # fmt: skip
    return table


def _encode(paths: list[str], context: Context, model: TextToAudio) -> torch.Tensor:
    """Return latents [clips, channels, frames]; clip by clip, so that none depends on its neighbours."""
    device, latents = next(model.model.parameters()).device, []
    for number, path in enumerate(paths, start=1):
        sound = torch.from_numpy(audio.load_mono(context.resolve(path), model.sample_rate_hz))
        latents.append(model.encode(sound[None].to(device))[0])
        context.progress(number, len(paths), "clips encoded")
    return torch.stack(latents)


def _encode_prompts(data: Data, model: TextToAudio) -> None:
    """Encode each prompt once, so that one that does not fit the model is refused before the training."""
    with torch.no_grad():
        for prompt in dict.fromkeys([*data.prompts, *(caption for captions in data.gold_captions for caption in captions)]):
            model.conditioning([prompt], [1.0], str(data.latents.device))

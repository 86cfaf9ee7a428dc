"""Loads model and clips, trains, and exports the averaged weights as a model folder like the one it started from."""

from __future__ import annotations

import torch

from core import atomic
from core.context import Context
from tasks.align_text_to_audio import clips
from tasks.align_text_to_audio.alignment import Alignment, Curves
from tasks.align_text_to_audio.spec import Request, Result
from tasks.matmul import use_fast_float32
from tasks.text_to_audio.model import load
from tasks.training.loop import CHECKPOINT


def run(request: Request, context: Context) -> Result:
    """Align one model."""
    torch.set_num_threads(context.threads)
    model = load(context.resolve(request.model))
    use_fast_float32(context.device, model.latent_frames)
    model.model.to(context.device)
    alignment = Alignment(model, clips.read(request, context, model), request.settings, context)
    curves = alignment.run()
    model.save(context.output)
    atomic.write_json(context.output / "curves.json", curves)
    (context.output / CHECKPOINT).unlink(missing_ok=True)
    return result_of(alignment, curves)


def result_of(alignment: Alignment, curves: Curves) -> Result:
    """Return the figures of a finished alignment; means are over a tenth of the steps of its method."""
    main, data = curves[alignment.settings.method], alignment.data
    tenth = max(1, len(main["loss"]) // 10)

    def mean(values: list[float]) -> float | None:
        return round(sum(values) / len(values), 6) if values else None

    last = {name: mean(values[-tenth:]) for name, values in main.items()}
    return Result(
        steps=sum(len(phase["loss"]) for phase in curves.values()), gold_clips=data.gold_clips, pairs=len(data.winners),
        trained_parameters=sum(part.numel() for part in alignment.trained.values()),
        parameters=sum(part.numel() for part in alignment.model.model.parameters()),
        initial_loss=round(main["loss"][0], 8), final_loss=round(sum(main["loss"][-tenth:]) / tenth, 6),
        first_implicit_accuracy=mean(main.get("implicit_accuracy", [])[:tenth]), last_implicit_accuracy=last.get("implicit_accuracy"),
        mean_margin=last.get("margin"), winner_loss_change=last.get("winner_loss_change"), loser_loss_change=last.get("loser_loss_change"),
    )  # fmt: skip

"""Trains the autoencoder on log-mels, then the diffusion transformer on its latents; exports averaged weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from core import atomic, audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.matmul import use_fast_float32
from tasks.text_to_audio import model as text_to_audio
from tasks.text_to_audio.captions import captions_of
from tasks.text_to_audio.codec import FrontEnd, Mel
from tasks.text_to_audio.model import TextToAudio
from tasks.text_to_audio.prompts import build_vocabulary
from tasks.train_text_to_audio import linear_start, pretrained, training
from tasks.train_text_to_audio.spec import Request, Result, Settings
from tasks.training.loop import CHECKPOINT, AveragedWeights, Loop, load_checkpoint, save_checkpoint, warm_cosine

POSTERIOR_START = -4.0
"""Pre-softplus deviation of the latents' posterior at the start (0.02): its noise must not drown the components with little variance."""


@dataclass
class Clips:
    """The training clips in memory."""

    sounds: list[torch.Tensor]
    """Mono, [samples], at the model's rate."""
    captions: list[list[str]]
    """All captions of each clip."""
    seconds: list[float]
    gold: int
    """The first so many are gold."""

    def shares(self, gold_fraction: float) -> torch.Tensor:
        """Return each clip's share of the training [clips]: gold clips have ``gold_fraction`` among them, the others the rest."""
        total, gold = len(self.sounds), self.gold
        if gold in (0, total):
            return torch.full((total,), 1 / total)
        shares = torch.full((total,), (1 - gold_fraction) / (total - gold))
        shares[:gold] = gold_fraction / gold
        return shares


def read_clips(request: Request, context: Context, rate_hz: int) -> Clips:
    """Load gold clips and synthetic sounds.

    Raises:
        InvalidValueError: a clip is not a train clip, or there is no gold clip in a folder of them.
    """
    clips = Clips([], [], [], 0)
    settings = request.settings
    for name, folder in (("gold", request.gold), ("pretraining", request.pretraining)):
        if not folder:
            continue
        table = manifest.accepted(manifest.read(context.resolve(folder)))
        manifest.require_train(table, folder)
        for row in table.itertuples():
            clips.sounds.append(torch.from_numpy(audio.load_mono(context.resolve(str(row.path)), rate_hz)))
            clips.captions.append(captions_of(row))
            clips.seconds.append(min(float(row.duration_s), settings.max_canvas_s))
        if name == "gold":
            clips.gold = len(table)
            if not clips.gold:
                raise InvalidValueError("no accepted clips", where="gold", allowed="at least one captioned train clip", received=folder)
    return clips


def run(request: Request, context: Context) -> Result:
    """Train, or load and pass on a pretrained model."""
    torch.set_num_threads(context.threads)
    if request.settings.pretrained:
        return pretrained.take(request, context)
    settings = request.settings
    front_end = FrontEnd()
    clips = read_clips(request, context, front_end.sample_rate_hz)
    canvas_s = _canvas_s(request, clips, context)
    model, mels = _build(clips, canvas_s, front_end, settings)
    device = torch.device(context.device)
    model.model.to(device)
    use_fast_float32(context.device, model.latent_frames)
    checkpoint = load_checkpoint(context.output) or {"phase": "autoencoder", "step": 0}
    autoencoder_losses = _train_autoencoder(model, mels, clips, settings, context, checkpoint)
    error = _autoencoder_error(model, mels[: clips.gold or len(mels)])
    diffusion_losses = _train_diffusion(model, mels, clips, settings, context, checkpoint)
    model.save(context.output)
    atomic.write_json(context.output / "curves.json", {"autoencoder": autoencoder_losses, "diffusion": diffusion_losses})
    (context.output / CHECKPOINT).unlink(missing_ok=True)
    last = diffusion_losses[-max(1, len(diffusion_losses) // 10) :]
    return Result(
        gold_clips=clips.gold, pretraining_clips=len(clips.sounds) - clips.gold, canvas_s=round(model.canvas_s, 3),
        parameters=sum(part.numel() for part in model.model.parameters()), autoencoder_error=round(error, 4),
        diffusion_loss=round(sum(last) / len(last), 4),
    )  # fmt: skip


def _canvas_s(request: Request, clips: Clips, context: Context) -> float:
    """Return the length of the longest sound to make, in seconds."""
    if request.settings.canvas_s:
        return request.settings.canvas_s
    if not request.lengths:
        return max(clips.seconds[: clips.gold])
    table = manifest.accepted(manifest.read(context.resolve(request.lengths)))
    train = table[table["split"] == "train"]
    if train.empty:
        raise InvalidValueError("no train clips", where="lengths", allowed="at least one accepted train clip", received=request.lengths)
    return min(float(train["duration_s"].max()), request.settings.max_canvas_s)


def _build(clips: Clips, canvas_s: float, front_end: FrontEnd, settings: Settings) -> tuple[TextToAudio, torch.Tensor]:
    """Return a fresh model and the normalised log-mels [clips, mels, frames] of all clips."""
    raw = Mel(front_end)
    values = torch.cat([raw.raw(sound[None])[0] for sound in clips.sounds], dim=1)
    front_end = FrontEnd(mean=round(float(values.mean()), 4), std=round(float(values.std()), 4))
    torch.manual_seed(settings.seed)
    config = text_to_audio.embedded_config(front_end, canvas_s, settings.latent_dim, settings.width, settings.depth, settings.objective)
    vocabulary = build_vocabulary([caption for captions in clips.captions for caption in captions])
    model = TextToAudio(text_to_audio.with_front_end(config, front_end, vocabulary))
    for captions in clips.captions:
        model.model.conditioner.conditioners["prompt"].tokens(captions)  # a prompt that is too long is refused before the training
    analyse = Mel(front_end)
    return model, torch.cat([analyse.analyse(sound[None], int(config["sample_size"])) for sound in clips.sounds])


def _rows(clips: Clips, settings: Settings, generator: torch.Generator) -> torch.Tensor:
    """Return the clips of one batch: a fixed share of gold ones where there are both kinds."""
    mixed = round(settings.batch_clips * settings.gold_fraction) if clips.gold else 0
    gold = mixed if len(clips.sounds) > clips.gold else settings.batch_clips
    others = settings.batch_clips - gold
    picked = [torch.randint(clips.gold, (gold,), generator=generator)] if gold else []
    if others:
        picked.append(torch.randint(clips.gold, len(clips.sounds), (others,), generator=generator))
    return torch.cat(picked)


def _train_autoencoder(
    model: TextToAudio, mels: torch.Tensor, clips: Clips, settings: Settings, context: Context, checkpoint: dict[str, object]
) -> list[float]:
    """Train the autoencoder, or restore it when an earlier attempt has finished it."""
    # In eval mode the library's residual units do not recompute their activations (they hold no dropout), which costs a third.
    autoencoder = model.model.pretransform.model.requires_grad_(True).eval()
    linear_start.start_linear(autoencoder, mels, clips.shares(settings.gold_fraction), POSTERIOR_START)
    schedule = warm_cosine(settings.autoencoder_rate, settings.autoencoder_steps)
    loop = Loop(context, "autoencoder", settings.autoencoder_steps, autoencoder.parameters(), schedule, settings.seed, stream=0)
    losses: list[float]
    if checkpoint["phase"] == "diffusion":
        model.model.load_state_dict(checkpoint["model"])  # type: ignore[arg-type]
        losses = list(checkpoint["autoencoder_losses"])  # type: ignore[call-overload]
    else:
        if checkpoint["step"]:
            model.model.load_state_dict(checkpoint["model"])  # type: ignore[arg-type]
            loop.restore(checkpoint["loop"])  # type: ignore[arg-type]

        def save(step: int) -> None:
            state = {"phase": "autoencoder", "step": step, "model": model.model.state_dict(), "loop": loop.state()}
            save_checkpoint(context.output, state)

        def loss_of(generator: torch.Generator) -> torch.Tensor:
            return training.autoencoder_loss(model, mels, _rows(clips, settings, generator), settings.kl_weight, generator)

        loop.run(int(checkpoint["step"]), loss_of, lambda step: None, save)  # type: ignore[call-overload]
        losses = loop.losses
    autoencoder.requires_grad_(False)
    checkpoint["autoencoder_losses"] = losses  # carried through the diffusion phase, so that a resumed run writes the same curves
    return losses


def _autoencoder_error(model: TextToAudio, mels: torch.Tensor) -> float:
    """Return the mean absolute log-mel error of mean reconstructions, in nepers."""
    autoencoder, device = model.model.pretransform.model, next(model.model.parameters()).device
    assert model.mel is not None
    with torch.no_grad():
        batch = mels.to(device)
        rebuilt = autoencoder.decoder(autoencoder.encoder(batch).chunk(2, dim=1)[0])
    return float((rebuilt - batch).abs().mean()) * model.mel.front_end.std


def _train_diffusion(
    model: TextToAudio, mels: torch.Tensor, clips: Clips, settings: Settings, context: Context, checkpoint: dict[str, object]
) -> list[float]:
    """Train the transformer and the prompt encoder on latents of unit variance; leaves the averaged weights in the model."""
    device = next(model.model.parameters()).device
    pretransform = model.model.pretransform
    with torch.no_grad():
        encoded = torch.cat([pretransform.model.encoder(part.to(device)).chunk(2, dim=1)[0] for part in mels.split(64)])
    scale = round(float(encoded.std()), 5)
    pretransform.scale = scale
    model.config["model"]["pretransform"]["scale"] = scale  # an entry of stable-audio-tools' configuration
    latents = encoded / scale
    trained = {name: part for name, part in model.model.named_parameters() if not name.startswith("pretransform.")}
    averaged = AveragedWeights(trained, settings.ema_decay)
    schedule = warm_cosine(settings.diffusion_rate, settings.diffusion_steps)
    loop = Loop(context, "diffusion", settings.diffusion_steps, trained.values(), schedule, settings.seed, stream=1)
    start = 0
    if checkpoint["phase"] == "diffusion":
        start = int(checkpoint["step"])  # type: ignore[call-overload]
        averaged.restore(checkpoint["averaged"])  # type: ignore[arg-type]
        loop.restore(checkpoint["loop"])  # type: ignore[arg-type]

    def loss_of(generator: torch.Generator) -> torch.Tensor:
        rows = _rows(clips, settings, generator).tolist()
        choice = torch.rand(len(rows), generator=generator).tolist()
        prompts = [clips.captions[row][int(part * len(clips.captions[row]))] for row, part in zip(rows, choice, strict=True)]
        return training.diffusion_loss(model, latents[rows], prompts, [clips.seconds[row] for row in rows], settings, generator)

    def save(step: int) -> None:
        state = {"phase": "diffusion", "step": step, "model": model.model.state_dict(), "averaged": averaged.values, "loop": loop.state()}
        save_checkpoint(context.output, {**state, "autoencoder_losses": checkpoint["autoencoder_losses"]})

    model.model.train()
    loop.run(start, loss_of, averaged.update, save)
    model.model.eval()
    averaged.apply()
    return loop.losses

"""Chooses held-out clips, runs the autoencoder on them, draws and sounds what comes out, and lists it all in ``pictures.json``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

from core import atomic, audio
from core.context import Context
from core.errors import InvalidValueError
from tasks.grid.features import Features, open_features
from tasks.grid.reading import Grid, open_grid
from tasks.matmul import use_fast_float32
from tasks.plot_latents import choice, panels, tiles
from tasks.plot_latents.panels import Panel, Scale
from tasks.plot_latents.sound import LEAST_POWER, Sounder
from tasks.plot_latents.spec import Request, Result
from tasks.vae_models.network import VAEDeep, load

Array = npt.NDArray[np.float32]
LIST = "pictures.json"
AT_ONCE = 32
"""Clips that go through the network and become sound together; fixed, since sums of other batches are rounded otherwise."""
LEVEL_CLIPS = 256
"""Held-out clips that the brightest colour is taken from."""
FRAME_MS = {"reconstruction": 1500, "samples": 250, "traversal": 300}
"""How long a frame of each animation is shown."""


def run(request: Request, context: Context) -> Result:
    """Make everything."""
    torch.set_num_threads(context.threads)
    use_fast_float32(context.device)
    with open_grid(context.resolve(request.grid)) as grid:
        return _Studio(request, context, grid).run()


@dataclass
class _Heard:
    """Mel power in dB, and the sound made of it."""

    levels_db: Array
    samples: Array


class _Studio:
    """The opened grid, features and model, and the list of what was made."""

    def __init__(self, request: Request, context: Context, grid: Grid) -> None:
        self.context, self.settings, self.grid = context, request.settings, grid
        self.features: Features = open_features(context.resolve(request.features))
        _check_same(self.grid, self.features)
        self.folder = context.resolve(request.model)
        self.model: VAEDeep = load(self.folder, "cpu")
        self.codes = _codes(self.folder, self.features, self.model)
        self.sounder = Sounder(self.features, request.settings, context.locate(request.vocoder) if request.vocoder else None)
        settings, latent = request.settings, self.model.latent
        self.rows, self.split = choice.held_out(self.features, settings.reconstructions_per_class, settings.seed)
        self.base = choice.base(self.rows, settings.seed)
        self.scale = self._scale()
        self.total = 2 * len(self.rows) + settings.samples + latent * settings.steps + settings.gif_samples + 2
        self.done, self.pictures, self.sounds = 0, 0, 0

    def run(self) -> Result:
        made: dict[str, Any] = {
            "reconstructions": self.reconstructions(), "reconstruction_gif": "reconstructions.gif", **self.samples(), **self.traversals(),
            "responses": self.responses(), "flagged": self.features.flagged, "split": self.split, "base_clip": self.base,
            "base_title": self.title(self.base), "sound": self.sounder.description, "sample_rate_hz": self.features.sample_rate_hz,
        }  # fmt: skip
        atomic.write_json(self.context.output / LIST, made)
        self.context.progress(self.total, self.total, "pictures and sounds")
        return Result(self.pictures, self.sounds, self.base, self.split)

    def title(self, row: int) -> str:
        """Return what a clip is."""
        return choice.title(self.features.table.loc[row], self.features.factors)

    def reconstructions(self) -> list[dict[str, Any]]:
        """Held-out clips beside what the model makes of them, and what Griffin and Lim's method makes of the clips' own mel power."""
        given = np.stack([self.features.array[row] for row in self.rows])
        with torch.inference_mode():
            found = self.model.decode(self.model.encode(torch.from_numpy(given))[0]).numpy()
        again = self.hear(given[:, 0])
        heard = self.hear(found[:, 0])
        made, frames, captions = [], [], []
        for number, (row, own, other) in enumerate(zip(self.rows, again, heard, strict=True)):
            stem, original = f"reconstruction_{number}", self.grid.samples(row, row + 1)[0]
            name = self.title(row)
            entry = {"title": f"{name} ({self.split} clip {row})", "clip": row}
            shown = [Panel("original", original, own.levels_db), Panel("reconstruction", other.samples, other.levels_db)]
            entry |= self.figure(stem, panels.views(shown, self.scale, entry["title"]), for_pages=True)
            for kind, samples in (("original", original), ("resynthesis", own.samples), ("reconstruction", other.samples)):
                entry[f"{kind}_wav"] = self.wav(f"{stem}_{kind}", samples)
            entry["strip"] = self.strip(stem, np.stack([own.levels_db, other.levels_db]))
            made.append(entry)
            frames.append(self.tiles(np.stack([own.levels_db, other.levels_db])))
            captions.append(f"original | reconstruction\n{name}")
        self.animate("reconstructions", "reconstruction", frames, captions)
        return made

    def samples(self) -> dict[str, Any]:
        """Samples from the prior; the first ones with their sounds."""
        settings = self.settings
        count = max(settings.samples, settings.gif_samples)
        codes = np.stack([self.draw_code(number) for number in range(count)])
        features = self.decode(codes)
        levels = self.levels(features)
        heard = self.hear(features[: settings.samples])
        made = []
        for number, one in enumerate(heard):
            stem, title = f"sample_{number}", f"sample {number + 1} from the prior N(0, I)"
            entry = {"title": title, "wav": self.wav(stem, one.samples)}
            entry |= self.figure(stem, panels.views([Panel("sample", one.samples, one.levels_db)], self.scale, title))
            made.append({**entry, "strip": self.strip(stem, one.levels_db[None]), "code": [float(value) for value in codes[number]]})
        shown = range(settings.gif_samples)
        captions = [f"sample {number + 1}" for number in shown]
        self.animate("samples", "samples", [self.tiles(levels[number][None]) for number in shown], captions)
        self.step(settings.gif_samples)
        return {"samples": made, "samples_gif": "samples.gif"}

    def traversals(self) -> dict[str, Any]:
        """One dimension at a time from −reach to +reach; all others stay at the code of the base clip, for every dimension anew."""
        values, latent = choice.values(self.settings.steps, self.settings.reach), self.model.latent
        with torch.inference_mode():
            start = self.model.encode(torch.from_numpy(self.features.array[self.base][None].copy()))[0][0].numpy()
        walked = walks(start, values)
        features = self.decode(walked.reshape(-1, latent)).reshape(latent, len(values), *self.features.array.shape[2:])
        levels, made = self.levels(features), []
        for dimension in range(latent):
            stem = f"traversal_{dimension}"
            title = f"z{dimension + 1} from {values[0]:+g} to {values[-1]:+g}, base: {self.title(self.base)}"
            heard = self.hear(features[dimension])
            drawn = panels.traversal(levels[dimension][None], [f"z{dimension + 1}"], values, self.scale, title)
            captions = [f"z{dimension + 1} = {value:+.2f}" for value in values]
            self.animate(stem, "traversal", [self.tiles(level[None]) for level in levels[dimension]], captions)
            made.append({
                "dimension": dimension, "title": title, **self.figure(stem, drawn), "gif": f"{stem}.gif",
                "values": [float(value) for value in values], "base": float(start[dimension]), "strip": self.strip(stem, levels[dimension]),
                "wavs": [self.wav(f"{stem}_{number}", one.samples) for number, one in enumerate(heard)],
            })  # fmt: skip
        names = [f"z{dimension + 1}" for dimension in range(latent)]
        title = f"every code in turn, base: {self.title(self.base)} ({self.split} clip {self.base})"
        overview = self.figure("traversals", panels.traversal(levels, names, values, self.scale, title), for_pages=True)
        captions = [f"z1 … z{latent}, each at {value:+.2f}" for value in values]
        self.animate("traversals", "traversal", [self.tiles(levels[:, number]) for number in range(len(values))], captions)
        named = {f"traversal_overview_{kind}": name for kind, name in overview.items()}
        return {"traversals": made, **named, "traversal_gif": "traversals.gif"}

    def responses(self) -> str:
        """Return the picture of the codes' means by each factor, over all clips."""
        varied = [factor for factor in self.features.factors if len(factor.values) > 1]
        return self.figure("responses", panels.responses(self.codes, self.features.table, varied), for_pages=True)["svg"]

    def hear(self, features: Array) -> list[_Heard]:
        """Return level and sound of features [clips, mels, frames]."""
        power, made = self.features.to_power(features), []
        for start in range(0, len(power), AT_ONCE):
            part = power[start : start + AT_ONCE]
            made += list(self.sounder.sounds(part))
            self.step(len(part))
        return [_Heard(level, samples) for level, samples in zip(self.levels(features), made, strict=True)]

    def decode(self, codes: Array) -> Array:
        """Return features [codes, mels, frames]."""
        parts = torch.from_numpy(codes).split(AT_ONCE)
        with torch.inference_mode():
            return torch.cat([self.model.decode(part)[:, 0] for part in parts]).numpy()

    def draw_code(self, number: int) -> Array:
        """Return the number-th sample from the prior [D]; asking for more samples changes none of the first."""
        seed = choice.rank(self.settings.seed, number, "sample")
        return np.random.default_rng(seed).standard_normal(self.model.latent).astype(np.float32)

    def levels(self, features: Array) -> Array:
        """Return mel power in dB."""
        decades = np.log10(np.maximum(self.features.to_power(features), LEAST_POWER))
        return (20 / float(self.features.description["power"]) * decades).astype(np.float32)

    def tiles(self, levels_db: Array) -> npt.NDArray[np.uint8]:
        """Return palette entries."""
        return tiles.indices(levels_db, self.scale.top_db, self.scale.range_db)

    def figure(self, stem: str, drawn: Callable[[panels.Ink], Figure], for_pages: bool = False) -> dict[str, str]:
        """Write a figure as ``png``, and as ``svg`` where pages show it; return the names."""
        self.pictures += 1 + for_pages
        names = {"png": panels.write_png(self.context.output / stem, drawn)}
        return {**names, "svg": panels.write_svg(self.context.output / stem, drawn)} if for_pages else names

    def strip(self, stem: str, levels_db: Array) -> str:
        """Write bare tiles side by side."""
        path = self.context.output / f"{stem}_strip.png"
        tiles.write_strip(path, self.tiles(levels_db))
        self.pictures += 1
        return path.name

    def animate(self, stem: str, kind: str, frames: list[npt.NDArray[np.uint8]], captions: list[str]) -> None:
        """Write an animation."""
        tiles.write_animation(self.context.output / f"{stem}.gif", frames, captions, FRAME_MS[kind])
        self.pictures += 1

    def wav(self, stem: str, samples: Array) -> str:
        """Write a sound at its own level; only what would clip is made quieter."""
        path: Path = self.context.output / f"{stem}.wav"
        audio.write(path, samples / max(1.0, float(np.abs(samples).max())), self.features.sample_rate_hz, "PCM_16")
        self.sounds += 1
        return path.name

    def step(self, count: int) -> None:
        """Report progress."""
        self.done += count
        self.context.progress(min(self.done, self.total - 1), self.total, "pictures and sounds")

    def _scale(self) -> Scale:
        rows = self.features.rows(self.split)
        chosen = sorted(sorted(rows, key=lambda row: choice.rank(self.settings.seed, row, "level"))[:LEVEL_CLIPS])
        top = max(float(self.levels(self.features.array[row]).max()) for row in chosen)
        low_hz, high_hz = self.features.description["f_min_hz"], self.features.description["f_max_hz"] or self.features.sample_rate_hz / 2
        return Scale(
            sample_rate_hz=self.features.sample_rate_hz, hop=self.features.hop, low_hz=low_hz, high_hz=high_hz, top_db=top,
            range_db=self.settings.range_db, excerpt_ms=self.settings.excerpt_ms,
        )  # fmt: skip


def walks(start: Array, values: Array) -> Array:
    """Return the codes of all traversals [D, steps, D]: ``walks[j, s]`` is the start with its j-th code replaced by the s-th value."""
    made = np.tile(start, (len(start), len(values), 1))
    made[np.arange(len(start)), :, np.arange(len(start))] = values
    return made


def _codes(folder: Path, features: Features, model: VAEDeep) -> Array:
    """Return the means of q(z|x) of all clips [clips, D], as train_vae wrote them."""
    with np.load(folder / "codes.npz", allow_pickle=False) as stored:
        codes: Array = stored["mean"]
    expected = (len(features.table), model.latent)
    if codes.shape != expected:
        where = str(folder / "codes.npz")
        raise InvalidValueError("codes of other clips", where=where, allowed=f"[clips, D] = {expected}", received=codes.shape)
    return codes


def _check_same(grid: Grid, features: Features) -> None:
    here, there = (grid.clips, grid.samples_per_clip), (len(features.table), features.samples)
    if here != there:
        where, allowed, received = "plot_latents.features", "{} clips of {} samples".format(*here), "{} clips of {}".format(*there)
        raise InvalidValueError("grid and features are of different clips", where=where, allowed=allowed, received=received)

"""A small synthesiser with every kind of parameter, played by the built-in back end; preset sets, a proxy and matchers of it."""

import dataclasses
import json

from core.context import Context
from core.contract import to_dict
from tasks.presets.parameters import Parameter, SynthSpec
from tasks.render_presets import stage as rendering
from tasks.render_presets.spec import Request as RenderRequest
from tasks.render_presets.spec import Settings as RenderSettings
from tasks.renderer.interface import finished, open_back_end
from tasks.renderer.pool import Outcome
from tasks.train_preset_encoder import stage as encoding
from tasks.train_preset_encoder.spec import Request as EncoderRequest
from tasks.train_preset_encoder.spec import Settings as EncoderSettings
from tasks.train_sound_matcher import stage
from tasks.train_sound_matcher.spec import Request, Settings

SPEC = SynthSpec(
    "toy",
    (
        Parameter(2, "adsr_1.attack", "num", interval=(0.0, 0.3)), Parameter(4, "adsr_1.sustain", "num", 0.8, interval=(0.5, 1.0)),
        Parameter(5, "adsr_1.release", "num", 0.2), Parameter(52, "vco_1_amp", "num", 1.0),
        Parameter(68, "tuning", "num", 0.5, cardinality=5), Parameter(74, "shape", "cat", cardinality=3),
        Parameter(75, "first_on", "bin", 1.0), Parameter(71, "octave", "cat", 0.5, cardinality=4, excluded_categories=(0,)),
    ),
    exclude=("vco_1_amp",), backend="builtin",
)  # fmt: skip
"""Indices are those of the built-in voice."""
TRAIN, VAL, BY_HAND, TEST = (f"stages/render_presets/{name}" for name in ("aa", "bb", "cc", "dd"))
PROXY = "stages/train_preset_encoder/aa"
TINY = {"channels": (4, 8, 8), "mixed": 16, "epochs": 3, "batch_sounds": 12, "look_epochs": 2, "learning_rate": 1e-2}


class HerePool:
    """The built-in back end in this process: what a pool's children do, without the seconds that starting them takes."""

    def __init__(self, backend, plugin="", settings=None, workers=1, timeout_s=30.0, *recycling):
        self.settings, self._back_end = settings, open_back_end(backend, plugin, settings)
        self.parameters = self._back_end.parameters

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def identity(self):
        return {**self._back_end.identity(), "render": to_dict(self.settings)}

    def render(self, jobs):
        for job in jobs:
            yield Outcome(job.id, finished(self._back_end.render(job.raw, job.note), self.settings), "ok")


def context_of(root, folder, emit=lambda kind, values: None):
    output = root / folder
    output.mkdir(parents=True, exist_ok=True)
    return Context(output, root, final=folder, emit=emit)


def render(root, folder, **settings):
    """Render a preset set of 0.4 s sounds."""
    (root / "toy.json").write_text(json.dumps(SPEC.to_json()))
    given = {"duration_s": 0.4, "hold_s": 0.3, "fade_s": 0.05, "audio_clips": -1, "audio_type": "float32", "min_rms": 0.001}
    given |= {"notes": (48, 60), "velocities": (80, 120)}
    request = RenderRequest(RenderSettings(spec=str(root / "toy.json"), max_lost_share=1.0, **{**given, **settings}), shards=1)
    context = context_of(root, folder)
    rendering.run_shards(request, context, [0])
    return rendering.run(request, context)


def write(root):
    """Render train, val and test presets and presets by hand, and train a proxy."""
    render(root, TRAIN, n=36, mel_clips=-1)
    render(root, VAL, n=10, first=100, split="val")
    render(root, TEST, n=8, first=200, split="test")
    encode(root)


def encode(root, folder=PROXY, **settings):
    """Train a small encoder."""
    given = {"sizes": {"hidden": 32}, "epochs": 40, "batch_presets": 12, "rankings": 4, "candidates": 4, "select": "loss"}
    request = EncoderRequest(TRAIN, "mlp_oh", 1, VAL, settings=EncoderSettings(**{**given, **settings}))
    return encoding.run(request, context_of(root, folder))


def train(root, name="run", seed=1, emit=lambda kind, values: None, fields=None, **settings):
    """Run the stage; returns its result and output folder."""
    given = {"val": VAL, "proxy": PROXY, **(fields or {})}
    request = Request(TRAIN, seed, settings=Settings(**{**TINY, **settings}), **{key: value for key, value in given.items() if value})
    context = dataclasses.replace(context_of(root, f"stages/train_sound_matcher/{name}"), emit=emit)
    return stage.run(request, context), context.output

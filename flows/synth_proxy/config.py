"""What a ``synth_proxy`` run can be told; the shape of ``configs/synth_proxy.yaml``. Stage settings are the stages' own dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from core.contract import build, check_range, to_dict
from core.errors import InvalidValueError, nearest
from flows.settings import RunSettings
from tasks.evaluate_preset_encoder import spec as evaluate_preset_encoder
from tasks.evaluate_preset_encoder.spec import Settings as EvaluationSettings
from tasks.hear_presets import spec as hear_presets
from tasks.match_sound import spec as match_sound
from tasks.play_presets import spec as play_presets
from tasks.preset_encoders.settings import MODELS
from tasks.rank_audio_models import spec as rank_audio_models
from tasks.rank_clap import spec as rank_clap
from tasks.render_presets import spec as render_presets
from tasks.report_presets import spec as report_presets
from tasks.search_preset_encoder import spec as search_preset_encoder
from tasks.train_preset_encoder import spec as train_preset_encoder
from tasks.train_preset_encoder.spec import Settings as TrainingSettings
from tasks.train_sound_matcher import spec as train_sound_matcher

BackEndName = Literal["pedalboard", "dexed", "dawdreamer", "builtin"]
PLAYERS: dict[str, BackEndName] = {"dexed": "dexed", "builtin_voice": "builtin"}
"""Specs that come with the project and are played without a plug-in."""
BUILT_IN = ("voice", "voicefm", "parametric")
HOSTED_BY_PEDALBOARD = (".vst3", ".component")
MODEL = "model"
"""Key of an entry of ``encoders`` that is no setting of the stage: which of the stage's encoders it is."""
RANKED = ("dexed", "amsynth", "builtin_voice")
"""Synthesisers whose sound attributes come with the project."""
OURS = ("synth", "spec", "backend", "plugin", "uri", "plugin_name", "initialization_timeout_s", "fresh", "n", "seed", "split", "presets")
"""Settings of ``render_presets`` that the flow sets itself."""


@dataclass(frozen=True)
class Synth:
    """The synthesiser."""

    name: str = ""
    """Spec that comes with the project: dexed, amsynth, tal_noisemaker, diva or builtin_voice. Empty: dexed, or with a plug-in a spec that
    is drafted from what it tells of itself."""
    spec: str = ""
    """A spec of your own instead, such as a draft that you corrected: a JSON file."""
    plugin: str = ""
    """Plug-in's file or bundle (``X.vst3``, ``X.so``, ``X.dsp``); dexed and builtin_voice need none."""
    uri: str = ""
    """Instead of a file: the URI of an LV2 plug-in, or ``voice``, ``voicefm`` or ``parametric``, the built-in synthesisers."""
    plugin_name: str = ""
    """Which plug-in of a file that holds several."""
    backend: Literal["", "pedalboard", "dexed", "dawdreamer", "builtin"] = ""
    """What plays it; empty: pedalboard for VST3 and AU, DawDreamer for other plug-ins."""
    exclude: tuple[str, ...] = ()
    """Draft: names and patterns (``abc*``, ``*abc``, ``*abc*``) of parameters to leave at their default."""
    ignored: tuple[str, ...] = ()
    """Draft: regular expressions of parameter names that are not even described, beside those of MIDI controllers."""
    initialization_timeout_s: float = 0.0
    """pedalboard: how long to wait for a new instance to sound."""
    fresh: bool = True
    """A clean instance for each preset."""

    def __post_init__(self) -> None:
        if self.plugin and self.uri:
            raise InvalidValueError("two plug-ins", where="synth.uri", allowed="a file or an identifier", received=[self.plugin, self.uri])
        if self.name and self.spec:
            raise InvalidValueError("two specs", where="synth.spec", allowed="a name or a file", received=[self.name, self.spec])
        if (self.exclude or self.ignored) and not self.drafted:
            hint = "they are for drafts; correct the spec instead"
            raise InvalidValueError("not a draft", where="synth.exclude", allowed=(), received=list(self.exclude), hint=hint)
        self.player  # noqa: B018 - raises where nothing plays it

    @property
    def drafted(self) -> bool:
        """Whether the spec is what probe_synth drafts."""
        return bool(self.plugin or self.uri) and not (self.name or self.spec)

    @property
    def known(self) -> str:
        """The spec that comes with the project; empty: another one."""
        return self.name or ("" if self.spec or self.drafted else "dexed")

    @property
    def title(self) -> str:
        """What it is called."""
        return self.known or PurePath(self.spec or self.plugin or self.uri).stem

    @property
    def player(self) -> BackEndName:
        """What plays it.

        Raises:
            InvalidValueError: a synthesiser that needs a plug-in and has none.
        """
        if self.backend:
            return self.backend
        if self.uri:
            return "builtin" if self.uri in BUILT_IN else "dawdreamer"
        if self.plugin:
            return "pedalboard" if PurePath(self.plugin.rstrip("/")).suffix.lower() in HOSTED_BY_PEDALBOARD else "dawdreamer"
        if self.known in PLAYERS:
            return PLAYERS[self.known]
        hint = "set synth.plugin=/path/to/PLUGIN, or synth.backend"
        raise InvalidValueError("nothing plays it", where="synth.plugin", allowed=f"a plug-in, or synth.name of {sorted(PLAYERS)}",
                                received=self.title, hint=hint)  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """One set of drawn presets."""

    n: int
    """Presets."""
    seed: int
    """Of the draws; sets must have different ones."""

    def __post_init__(self) -> None:
        check_range("train, val, test: n", self.n, 2, 10**9)


@dataclass(frozen=True)
class Config(RunSettings):
    """A whole ``synth_proxy`` run."""

    synth: Synth = field(default_factory=Synth)
    """The synthesiser."""
    train: Drawing = Drawing(16000, 500)
    """Presets that encoders are trained on."""
    val: Drawing = Drawing(1024, 401)
    """Presets that weights and settings are selected on."""
    test: Drawing = Drawing(1024, 600)
    """Presets that encoders are scored on."""
    hand_crafted: str = ""
    """File or folder of presets made by hand to score on as well: DX7 banks (``/usr/share/hexter`` of Debian's hexter), amsynth banks,
    JSON; empty: none."""
    sounds: str = ""
    """File or folder of sounds whose nearest presets are looked up; empty: none."""
    render_presets: render_presets.Settings = field(default_factory=render_presets.Settings)
    """How presets are played and heard; what is drawn, and by what it is played, is set above."""
    clap_checkpoint: str = ""
    """LAION-CLAP checkpoint file, or folder of ``train_clap``: CLAP is then the audio model in place of ``render_presets.audio_model``.
    Every sound is kept, and heard in a step of its own."""
    hear_presets: hear_presets.Settings = field(default_factory=hear_presets.Settings)
    """How CLAP listens; ``rank_clap`` says so for ``rank``."""
    probes: int = 20
    """Presets that are rendered three times, in fresh processes and in another order, to see whether the synthesiser repeats itself."""
    encoders: dict[str, dict[str, Any] | None] = field(default_factory=lambda: {"TFM-modules": {}, "HN-OH": {}, "MLP-OH": {}})
    """What is trained, by name; the first one looks up sounds and is the proxy of ``match``. Settings of ``train_preset_encoder`` that
    differ, and ``model`` where the name is none: ``{wide: {model: mlp_oh, sizes: {hidden: 4096}}}``; ``{HN-OH: null}`` leaves one out."""
    training_seeds: tuple[int, ...] = (1,)
    """One training per encoder and seed."""
    search: bool = False
    """Search sizes and optimiser of each encoder before it is trained."""
    rank: bool = False
    """Rank audio models by how well they order sounds by their attributes; with ``clap_checkpoint`` CLAP is among them."""
    match: bool = False
    """Match sounds: train an estimator of presets with the first encoder as a proxy of the ear, and play what it finds."""
    match_presets: int = 2000
    """Drawn presets whose sounds the estimator is trained on: the first of ``train``."""
    match_schedules: tuple[Literal["parameters", "mix", "switch", "audio"], ...] = ("parameters", "mix")
    """Estimators that are compared, by which loss counts when."""
    train_preset_encoder: train_preset_encoder.Settings = field(default_factory=lambda: TrainingSettings(rankings=64, candidates=256))
    search_preset_encoder: search_preset_encoder.Settings = field(default_factory=search_preset_encoder.Settings)
    evaluate_preset_encoder: evaluate_preset_encoder.Settings = field(
        default_factory=lambda: EvaluationSettings(
            rankings=64, candidates=256, subset=512, runs=20, pool_sizes=(32, 128, 512), projection="pca"
        )
    )
    play_presets: play_presets.Settings = field(default_factory=play_presets.Settings)
    rank_audio_models: rank_audio_models.Settings = field(default_factory=rank_audio_models.Settings)
    rank_clap: rank_clap.Settings = field(default_factory=rank_clap.Settings)
    train_sound_matcher: train_sound_matcher.Settings = field(default_factory=train_sound_matcher.Settings)
    match_sound: match_sound.Settings = field(default_factory=match_sound.Settings)
    report_presets: report_presets.Settings = field(default_factory=report_presets.Settings)
    shards: int = 4
    """Parts that rendering is cut into; each is recorded and resumed by itself."""
    workers: int = 1
    """Processes that plug-ins run in, of each child of ``render_presets``; there is a child for every free core anyway."""

    def __post_init__(self) -> None:
        check_range("shards", self.shards, 1, 100_000)
        check_range("workers", self.workers, 1, 256)
        check_range("probes", self.probes, 2, 10_000)
        check_range("match_presets", self.match_presets, 2, self.train.n if self.match else 10_000_000)
        if not (self.trained and self.training_seeds):
            raise InvalidValueError("empty", where="encoders, training_seeds", allowed="at least one of each", received=())
        seeds = [self.train.seed, self.val.seed, self.test.seed]
        for where, values in (("train, val, test: seed", seeds), ("training_seeds", self.training_seeds),
                              ("match_schedules", self.match_schedules)):  # fmt: skip
            if len(set(values)) < len(values):
                raise InvalidValueError("something twice", where=where, allowed="different values", received=list(values))
        if self.rank and not (self.synth.known in RANKED or self.rank_audio_models.attributes):
            hint = "name the parameters that make its sound brighter, longer, … in a file: rank_audio_models.attributes=FILE"
            raise InvalidValueError("no attributes are known", where="rank", allowed=RANKED, received=self.synth.title, hint=hint)
        self._check_ear()
        for name in OURS:
            if getattr(self.render_presets, name) != getattr(render_presets.Settings(), name):
                received = getattr(self.render_presets, name)
                hint = "see synth, train, val, test and hand_crafted"
                raise InvalidValueError("the flow sets it", where=f"render_presets.{name}", allowed=(), received=received, hint=hint)
        for name in self.trained:
            self.model(name)
            self.training(name)

    def _check_ear(self) -> None:
        """Refuse what CLAP, which hears in a step and an environment of its own, does not go with."""
        rendering, usual = self.render_presets, render_presets.Settings()
        if not self.clap_checkpoint:
            for where, names in (("render_presets.audio_model", [rendering.audio_model]),
                                 ("rank_audio_models.models", [one.name for one in self.rank_audio_models.models])):  # fmt: skip
                if "clap" in names:
                    hint = "name its checkpoint instead: clap_checkpoint=FILE"
                    raise InvalidValueError("CLAP has an environment of its own", where=where, allowed="another model", received="clap",
                                            hint=hint)  # fmt: skip
            return
        told = {"audio_model": usual.audio_model, "audio_weights": "", "reduction": usual.reduction}
        for name, value in told.items():
            if getattr(rendering, name) not in (value, ""):
                hint = "leave it out, or leave out clap_checkpoint; CLAP's own settings are those of hear_presets"
                raise InvalidValueError("two audio models", where=f"render_presets.{name}", allowed=f"{value!r} with clap_checkpoint",
                                        received=getattr(rendering, name), hint=hint)  # fmt: skip
        titles = [rank_audio_models.title_of(one) for one in self.rank_audio_models.models]
        if self.rank and self.rank_clap.title in titles:
            raise InvalidValueError("another model is called so", where="rank_clap.title", allowed=f"none of {titles}",
                                    received=self.rank_clap.title)  # fmt: skip
        if self.sounds:
            hint = "look sounds up in a run with another audio model; match_sound compares with clips of your own"
            raise InvalidValueError("sounds cannot be looked up by CLAP", where="sounds", allowed="none with clap_checkpoint",
                                    received=self.sounds, hint=hint)  # fmt: skip

    @property
    def trained(self) -> dict[str, dict[str, Any]]:
        """The encoders that are not left out."""
        return {name: settings for name, settings in self.encoders.items() if settings is not None}

    def model(self, name: str) -> Any:
        """Return which of the stage's encoders an entry is."""
        told = self.trained[name].get(MODEL) or name.lower().replace("-", "_").replace(" ", "_")
        if told not in MODELS:
            hint = nearest(str(told), MODELS)
            raise InvalidValueError("no such encoder", where=f"encoders.{name}.{MODEL}", allowed=MODELS, received=told, hint=hint)
        return told

    def training(self, name: str) -> TrainingSettings:
        """Return an encoder's settings."""
        own = {key: value for key, value in self.trained[name].items() if key != MODEL}
        return build(TrainingSettings, {**to_dict(self.train_preset_encoder), **own}, f"encoders.{name}")

"""What sources of clips a flow can have made, by name: generated, altered, heard in rooms, retrieved, rendered, synthesised, or published.

``synthio`` has these settings at its top level; other flows have them below ``sources``. ``flows/sources.py`` makes what is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.contract import check_range
from core.errors import InvalidValueError, nearest
from core.keys import is_hub_name
from flows.datasets import Dataset
from flows.paths import existing
from tasks.align_text_to_audio import spec as align_text_to_audio
from tasks.augment import spec as augment
from tasks.caption import spec as caption
from tasks.clap_filter import spec as clap_filter
from tasks.describe.spec import Settings as DescribeSettings
from tasks.generate import spec as generate
from tasks.make_pairs import spec as make_pairs
from tasks.preset_clips.spec import Settings as PresetClipSettings
from tasks.render_presets.spec import Settings as PresetSettings
from tasks.retrieve import spec as retrieve
from tasks.simulate_rooms.spec import Settings as RoomSettings
from tasks.simulate_rooms.spec import Split
from tasks.spatialise.spec import Settings as SpatialSettings
from tasks.synthesize.spec import Settings as SoundSettings
from tasks.synthesize_captioned import spec as synthesize_captioned
from tasks.train_clap import spec as train_clap
from tasks.train_text_to_audio import spec as train_text_to_audio

GOLD, BASE, SOUNDS = "gold", "base", "sounds"
"""Names that are always there: the gold clips, the model before any alignment, and the project's own captioned sounds."""


@dataclass(frozen=True)
class Model:
    """One way to align the text-to-audio model with the gold clips."""

    start: str = BASE
    """Model to go on from: ``base`` or another of ``models``. With DPO it also makes the losers and is the reference."""
    captions: str = "template"
    """The ``captions`` that the model is told: with DPO, what winner and losers have in common (published: the template)."""
    align: align_text_to_audio.Settings = field(default_factory=align_text_to_audio.Settings)
    """DPO or ordinary fine-tuning (ERM)."""
    pairs: make_pairs.Settings = field(default_factory=make_pairs.Settings)
    """Who wins against whom (DPO)."""
    losers: generate.Settings = field(default_factory=lambda: generate.Settings(num_iters=2))
    """How the clips for the pairs are generated (DPO)."""
    rounds: int = 1
    """Rounds of generating pairs with the present model and aligning it with them; more than one is TangoFlux's CRPO."""

    def __post_init__(self) -> None:
        check_range("models.rounds", self.rounds, 1, 100)


@dataclass(frozen=True)
class Generator:
    """One way to generate clips."""

    model: str = BASE
    """``base`` or one of ``models``."""
    captions: str = "mixcap"
    """One of ``captions``; iteration i is told caption i of the gold clip."""
    rounds: int = 1
    """1: rejected clips are left out. More: their captions are revised, and they are generated and filtered again (self-reflection)."""
    filter: bool = True
    """Whether generated clips must sound like their label to CLAP."""
    pool: str = ""
    """One of ``retrievals``, whose clips are what ``generate.init_pool`` starts from."""
    generate: generate.Settings = field(default_factory=generate.Settings)
    """How to sample."""

    def __post_init__(self) -> None:
        check_range("generators.rounds", self.rounds, 1, 100)
        if bool(self.pool) != bool(self.generate.init_pool):
            received = {"pool": self.pool, "generate.init_pool": self.generate.init_pool}
            raise InvalidValueError("pool and share belong together", where="generators.pool", allowed="both or neither", received=received)
        if self.rounds > 1 and not self.filter:
            hint = "without the filter nothing is rejected; set filter=true or rounds=1"
            raise InvalidValueError("nothing to reflect on", where="generators.rounds", allowed=1, received=self.rounds, hint=hint)


@dataclass(frozen=True)
class Presets:
    """Presets of a synthesiser, rendered and captioned by how they sound; a pool to retrieve from, or to pretrain on."""

    render_presets: PresetSettings = field(
        default_factory=lambda: PresetSettings(
            n=600, seed=7, hold_s=1.0, duration_s=2.0, sample_rate_hz=16_000, audio_model="", audio_clips=-1, notes=(36, 48, 60, 72)
        )
    )
    """The presets: drawn, or made by hand, of Dexed or of a plug-in."""
    preset_clips: PresetClipSettings = field(default_factory=PresetClipSettings)
    """What they are called, and how loud they are."""
    caption: caption.Settings = field(default_factory=lambda: caption.Settings(mode="plain", domain="synthesizer sounds"))
    """How they are captioned."""

    def __post_init__(self) -> None:
        settings = self.render_presets
        held_out = settings.test_share if settings.presets else settings.split != "train"
        if not settings.audio_clips or held_out:
            received = {"audio_clips": settings.audio_clips, "split": settings.split, "test_share": settings.test_share}
            allowed = "audio_clips −1 and split train, or test_share 0 for presets made by hand"
            raise InvalidValueError("no training sounds", where="presets.render_presets", allowed=allowed, received=received)


@dataclass(frozen=True)
class Retrieval:
    """Clips that others recorded, or that presets of a synthesiser are played for, as a source."""

    root: str = ""
    """Folder with the pool's audio; empty: the project's own captioned synthetic sounds, or those of ``presets``."""
    csv: str = ""
    """Table of the pool's clips, relative to ``root``."""
    presets: str = ""
    """One of ``presets``, whose sounds are the pool."""
    sounds: synthesize_captioned.Settings | None = None
    """The project's own sounds, made after these settings, are the pool; without them those of ``pretraining``."""
    retrieve: retrieve.Settings = field(default_factory=retrieve.Settings)
    """How many, and by what they are found."""


@dataclass(frozen=True)
class Rooms:
    """Gold clips heard in simulated rooms, as a source: what the omnidirectional channel (W) of a room response makes of them."""

    simulate_rooms: RoomSettings = field(
        default_factory=lambda: RoomSettings(
            train=Split("random", 120), val=Split("random", 0), test=Split("random", 0), sample_rate_hz=16_000
        )
    )
    """The rooms; all are of the train split. Where the clips' rate is higher, so should be the rooms'."""
    spatialise: SpatialSettings = field(default_factory=lambda: SpatialSettings(mode="mono"))
    """How many copies of a clip (``per_clip``), at what level, with noise or without."""

    def __post_init__(self) -> None:
        where = "rooms"
        if self.spatialise.mode != "mono":
            received, hint = self.spatialise.mode, "classifiers hear W: set spatialise.mode=mono"
            raise InvalidValueError("four channels", where=f"{where}.spatialise.mode", allowed="mono", received=received, hint=hint)
        if not self.simulate_rooms.train.count:
            raise InvalidValueError("no rooms", where=f"{where}.simulate_rooms.train.count", allowed="at least 1", received=0)


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """How sources are made; each only when something names it."""

    clap_checkpoint: str = ""
    """A LAION-CLAP checkpoint file to filter with; empty: a compact one is fitted on the gold subset."""
    encoder: str = ""
    """Folder of an encoder that ``doppelgangers`` trained (``stages/train_contrastive/…`` of a data root): the Fréchet distance is then
    taken in its embedding as well, ``retrieve.by=encoder`` retrieves by it, and ``clap_filter.score=encoder_rank`` filters by it."""
    captions: dict[str, caption.Settings] = field(
        default_factory=lambda: {"mixcap": caption.Settings(), "template": caption.Settings(mode="template")}
    )
    """Ways to caption, by name."""
    describe: DescribeSettings | None = None
    """An audio captioner whose words the captions are made of; without one they are measured from the sound."""
    models: dict[str, Model] = field(
        default_factory=lambda: {
            "tuned": Model(BASE, "mixcap", align_text_to_audio.Settings(method="erm", steps=200, learning_rate=3e-4)),
            "aligned": Model("tuned", "template", align_text_to_audio.Settings(method="dpo", steps=60, winner_loss_weight=1.0)),
        }
    )
    """Aligned text-to-audio models, by name."""
    generators: dict[str, Generator] = field(
        default_factory=lambda: {
            "vanilla": Generator(BASE, "template", filter=False),
            "synthio": Generator(
                "aligned", "mixcap", 3,
                generate=generate.Settings(
                    num_iters=4, initialize_audio=True, init_noise_level=0.4, init_mix=0.5, init_roll=True, init_speed=0.25,
                    init_tilt_db=4.0, detail="start",
                ),
            ),
        }
    )  # fmt: skip
    """Ways to generate, by name; made only for arms that name them. So with all the following."""
    augmenters: dict[str, augment.Settings] = field(
        default_factory=lambda: {
            "noise": augment.Settings(method="random_noise"), "pitch": augment.Settings(method="pitch_shift"),
            "chain": augment.Settings(method="audiomentations"), "room": augment.Settings(method="room"),
        }
    )  # fmt: skip
    """Classical ways to alter the gold clips, by name."""
    rooms: dict[str, Rooms] = field(default_factory=lambda: {"spatial": Rooms()})
    """Simulated rooms that gold clips are put into, by name; ``room`` among the augmenters is decaying noise."""
    presets: dict[str, Presets] = field(default_factory=lambda: {"dexed": Presets()})
    """Rendered presets, by name; made only for what names them."""
    pretrain_on: str = ""
    """One of ``presets`` or ``pools``, whose captioned sounds the text-to-audio model is pretrained on instead of the project's own."""
    retrievals: dict[str, Retrieval] = field(
        default_factory=lambda: {
            "pool": Retrieval(), "presets": Retrieval(presets="dexed"),
            "named": Retrieval(retrieve=retrieve.Settings(per_clip=8, by="words")),
        }
    )  # fmt: skip
    """Pools of other clips, by name."""
    synths: dict[str, SoundSettings] = field(default_factory=lambda: {"voice": SoundSettings(pairs=False, val_share=0.0)})
    """Random sounds of a modular synthesiser, by name; they have no label, so they feed trainers that need none."""
    pools: dict[str, Dataset] = field(default_factory=dict)
    """Datasets of others, by name, as they are: their train clips with their own labels."""
    pretraining: synthesize_captioned.Settings = field(default_factory=synthesize_captioned.Settings)
    train_text_to_audio: train_text_to_audio.Settings = field(default_factory=train_text_to_audio.Settings)
    train_clap: train_clap.Settings = field(default_factory=train_clap.Settings)
    clap_filter: clap_filter.Settings = field(default_factory=clap_filter.Settings)

    def __post_init__(self) -> None:
        users = [f"retrievals.{name}.retrieve.by" for name, one in self.retrievals.items() if one.retrieve.by == "encoder"]
        users += ["clap_filter.score"] if self.clap_filter.score == "encoder_rank" else []
        if users and not self.encoder:
            raise InvalidValueError("needs an encoder", where=users[0], allowed="encoder=FOLDER", received="")
        every = [GOLD, *self.labelled, *self.unlabelled]
        twice = sorted({name for name in every if every.count(name) > 1})
        if twice:
            where = "generators, augmenters, rooms, retrievals, pools, presets, synths"
            raise InvalidValueError("name used twice", where=where, allowed="different names, not gold or sounds", received=twice)
        self._check_references()

    @property
    def labelled(self) -> tuple[str, ...]:
        """Names of sources whose clips have a gold clip's label, or (pools) one of their own."""
        return (*self.generators, *self.augmenters, *self.rooms, *self.retrievals, *self.pools)

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """Names of sources whose clips say what they are only in words of their own."""
        return (SOUNDS, *self.presets, *self.synths)

    def check_sources(self, where: str, names: tuple[str, ...], weights: dict[str, float], labels: bool) -> None:
        """Refuse a mixture of sources that nobody makes.

        Args:
            where: the setting that names them.
            names: the sources.
            weights: of some of them.
            labels: the trainer needs labels.

        Raises:
            InvalidValueError: with what could be named, or how to come by labels.
        """
        allowed = (GOLD, *self.labelled) if labels else (GOLD, *self.labelled, *self.unlabelled)
        unknown = [name for name in names if name not in allowed]
        if unknown or not names or len(set(names)) < len(names):
            hint = (
                f"{unknown[0]} has no labels; retrieve from it: retrievals.NAME.presets"
                if unknown and unknown[0] in self.unlabelled
                else ""
            )
            raise InvalidValueError("unknown source", where=f"{where}.sources", allowed=allowed, received=list(names), hint=hint)
        stray = [name for name in weights if name not in names]
        if stray or any(not 0 <= weight <= 1e6 for weight in weights.values()):
            raise InvalidValueError("weights of its sources", where=f"{where}.weights", allowed=f"0 … 1e6 for {names}", received=weights)

    def _check_references(self) -> None:
        """Refuse generators and models that name captions or models which are not there, and models that go round in a circle."""
        users = [(f"models.{name}", model.captions, model.start) for name, model in self.models.items()]
        users += [(f"generators.{name}", generator.captions, generator.model) for name, generator in self.generators.items()]
        for where, captions, model in users:
            if captions not in self.captions:
                raise InvalidValueError(
                    "no such captions", where=f"{where}.captions", received=captions, hint=nearest(captions, self.captions)
                )
            if model not in (BASE, *self.models):
                raise InvalidValueError("no such model", where=where, received=model, hint=nearest(model, [BASE, *self.models]))
        for name, generator in self.generators.items():
            if generator.pool and generator.pool not in self.retrievals:
                hint = nearest(generator.pool, self.retrievals)
                raise InvalidValueError("no such retrieval", where=f"generators.{name}.pool", received=generator.pool, hint=hint)
        users_of_presets = [("pretrain_on", self.pretrain_on)] if self.pretrain_on not in self.pools else []
        users_of_presets += [(f"retrievals.{name}.presets", retrieval.presets) for name, retrieval in self.retrievals.items()]
        for where, presets in users_of_presets:
            if presets and presets not in self.presets:
                raise InvalidValueError("no such presets", where=where, received=presets, hint=nearest(presets, self.presets))
        for name, retrieval in self.retrievals.items():
            named = [key for key in ("root", "presets", "sounds") if getattr(retrieval, key)]
            if len(named) > 1:
                raise InvalidValueError("two pools", where=f"retrievals.{name}", allowed="root, presets or sounds", received=named)
        if BASE in self.models:
            raise InvalidValueError("name taken", where=f"models.{BASE}", allowed="another name", received=BASE)
        for name in self.models:
            seen, current = [name], self.models[name].start
            while current != BASE:
                if current in seen:
                    raise InvalidValueError("goes round in a circle", where=f"models.{name}.start", allowed=BASE, received=[*seen, current])
                seen.append(current)
                current = self.models[current].start


def located(settings: SourceSettings, cwd: Path) -> Any:
    """Return the settings with the files that a person names made absolute; they are relative to where run.sh was called.

    Raises:
        InvalidValueError: a file or folder does not exist.
    """

    def absolute(text: str, where: str) -> str:
        return existing(text, where, cwd)

    def model(text: str, where: str) -> str:
        return text if is_hub_name(text, cwd) else absolute(text, where)

    return replace(
        settings,
        clap_checkpoint=absolute(settings.clap_checkpoint, "clap_checkpoint"),
        encoder=absolute(settings.encoder, "encoder"),
        train_text_to_audio=pretrained(settings.train_text_to_audio, "train_text_to_audio", model),
        train_clap=replace(settings.train_clap, start_from=absolute(settings.train_clap.start_from, "train_clap.start_from")),
        describe=settings.describe and pretrained(settings.describe, "describe", absolute),
        presets={
            name: replace(presets, render_presets=_preset_files(presets.render_presets, f"presets.{name}.render_presets", absolute))
            for name, presets in settings.presets.items()
        },
        retrievals={
            name: replace(one, root=absolute(one.root, f"retrievals.{name}.root"), csv=_csv(one.root, one.csv, cwd))
            for name, one in settings.retrievals.items()
        },
    )


def pretrained(settings: Any, where: str, absolute: Callable[[str, str], str]) -> Any:
    """Return a stage's settings with the path of its ``pretrained`` weights made absolute."""
    return replace(settings, pretrained=absolute(settings.pretrained, f"{where}.pretrained"))


def _preset_files(settings: Any, where: str, absolute: Callable[[str, str], str]) -> Any:
    named = ("spec", "plugin", "presets", "audio_weights")
    return replace(settings, **{name: absolute(getattr(settings, name), f"{where}.{name}") for name in named})


def _csv(root: str, csv: str, cwd: Path) -> str:
    return str((cwd / Path(root).expanduser()).resolve() / csv) if root else ""

"""What a ``synthio`` run can be told; the shape of ``configs/synthio.yaml``. Stage settings are the stages' own dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from core.contract import build, check_range, to_dict
from core.errors import InvalidValueError, nearest
from flows.datasets import DEMO, Dataset
from flows.settings import RunSettings
from tasks.align_text_to_audio import spec as align_text_to_audio
from tasks.augment import spec as augment
from tasks.caption import spec as caption
from tasks.clap_filter import spec as clap_filter
from tasks.describe.spec import Settings as DescribeSettings
from tasks.generate import spec as generate
from tasks.make_pairs import spec as make_pairs
from tasks.measure_synthetic import spec as measure_synthetic
from tasks.preset_clips.spec import Settings as PresetClipSettings
from tasks.render_presets.spec import Settings as PresetSettings
from tasks.report import spec as report
from tasks.retrieve import spec as retrieve
from tasks.simulate_rooms.spec import Settings as RoomSettings
from tasks.simulate_rooms.spec import Split
from tasks.spatialise.spec import Settings as SpatialSettings
from tasks.stratify import spec as stratify
from tasks.synthesize_captioned import spec as synthesize_captioned
from tasks.train_ast import spec as train_ast
from tasks.train_ast.spec import Settings as ClassifierSettings
from tasks.train_clap import spec as train_clap
from tasks.train_text_to_audio import spec as train_text_to_audio

GOLD, BASE = "gold", "base"
"""Names that are always there: the gold clips as a source, the model before any alignment."""


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
    generate: generate.Settings = field(default_factory=generate.Settings)
    """How to sample."""

    def __post_init__(self) -> None:
        check_range("generators.rounds", self.rounds, 1, 100)
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


@dataclass(frozen=True)
class Arm:
    """One way to train the classifier; the arms are compared with each other."""

    name: str
    """Shown in the table."""
    sources: tuple[str, ...]
    """``gold`` and names of generators, augmenters, rooms and retrievals: what the classifier is trained on."""
    train_ast: dict[str, Any] = field(default_factory=dict)
    """Settings of the classifier that differ for this arm, such as ``masked_frames`` for SpecAugment."""


@dataclass(frozen=True)
class Config(RunSettings):
    """A whole ``synthio`` run."""

    dataset: Dataset = DEMO
    """The labelled clips."""
    num_samples: int | tuple[int, ...] = 50
    """Size of the gold subset drawn from the train split, or several: the study is then made for each."""
    draw_seed: int | tuple[int, ...] = 0
    """Seed of the draw, or several draws; the table averages over them."""
    turn_folds: bool = False
    """Cross-validation: draw d has the folds of ``dataset.prepare`` turned on by d places, so that as many draws as folds let every fold
    test once, and every clip of the dataset judges."""
    training_seeds: tuple[int, ...] = (1, 2)
    """One training per arm, draw and seed."""
    shards: int = 4
    """Parts that generation and filtering are cut into; each is recorded and resumed by itself."""
    clap_checkpoint: str = ""
    """A LAION-CLAP checkpoint file to filter with; empty: a compact one is fitted on the gold subset."""
    encoder: str = ""
    """Folder of an encoder that ``doppelgangers`` trained (``stages/train_contrastive/…`` of a data root): the Fréchet distance is then
    taken in its embedding as well, ``retrieve.by=encoder`` retrieves by it, and ``clap_filter.score=encoder_rank`` filters by it."""
    measures: bool = True
    """Whether the generated sets are measured: Fréchet distance, diversity, near-duplicates, leaks (first draw of each size)."""
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
    """One of ``presets``, whose captioned sounds the text-to-audio model is pretrained on instead of the project's own."""
    retrievals: dict[str, Retrieval] = field(default_factory=lambda: {"pool": Retrieval(), "presets": Retrieval(presets="dexed")})
    """Pools of other clips, by name."""
    arms: tuple[Arm, ...] = (
        Arm("gold only", (GOLD,)), Arm("SpecAugment", (GOLD,), {"masked_frames": 96, "masked_mels": 24}),
        Arm("vanilla", (GOLD, "vanilla")), Arm("Synthio", (GOLD, "synthio")),
    )  # fmt: skip
    """What is compared; the first arm is what the others are measured against."""
    stratify: stratify.Settings = field(default_factory=stratify.Settings)
    pretraining: synthesize_captioned.Settings = field(default_factory=synthesize_captioned.Settings)
    train_text_to_audio: train_text_to_audio.Settings = field(default_factory=train_text_to_audio.Settings)
    train_clap: train_clap.Settings = field(default_factory=train_clap.Settings)
    clap_filter: clap_filter.Settings = field(default_factory=clap_filter.Settings)
    measure_synthetic: measure_synthetic.Settings = field(default_factory=measure_synthetic.Settings)
    train_ast: train_ast.Settings = field(default_factory=train_ast.Settings)
    report: report.Settings = field(default_factory=report.Settings)
    export_to: str = ""
    """Folder that the accepted synthetic clips are copied to as an audio folder; the store keeps its own."""
    export_csv: str = ""
    """Folder that the table of all clips is copied to."""
    keep_models_in: str = ""
    """Folder that the aligned models are copied to, as DATASET_N.safetensors."""

    def __post_init__(self) -> None:
        for size in self.sizes:
            check_range("num_samples", size, 1, 10_000_000)
        check_range("shards", self.shards, 1, 10_000)
        if not (self.arms and self.training_seeds and self.sizes and self.draws):
            raise InvalidValueError(
                "empty", where="arms, training_seeds, num_samples, draw_seed", allowed="at least one of each", received=()
            )
        if self.turn_folds and not self.dataset.prepare.fold_column:
            hint = "set dataset.prepare.fold_column, train_folds, val_folds and test_folds"
            raise InvalidValueError("nothing to turn", where="turn_folds", allowed="a dataset with folds", received=True, hint=hint)
        users = [f"retrievals.{name}.retrieve.by" for name, one in self.retrievals.items() if one.retrieve.by == "encoder"]
        users += ["clap_filter.score"] if self.clap_filter.score == "encoder_rank" else []
        if users and not self.encoder:
            raise InvalidValueError("needs an encoder", where=users[0], allowed="encoder=FOLDER", received="")
        self._check_sources()
        self._check_references()

    @property
    def sizes(self) -> tuple[int, ...]:
        """The subset sizes, one or more."""
        return (self.num_samples,) if isinstance(self.num_samples, int) else self.num_samples

    @property
    def draws(self) -> tuple[int, ...]:
        """The seeds of the draws, one or more."""
        return (self.draw_seed,) if isinstance(self.draw_seed, int) else self.draw_seed

    def dataset_of(self, draw: int) -> Dataset:
        """Return the dataset as a draw sees it: with ``turn_folds`` every draw has other folds for train, val and test."""
        settings = self.dataset.prepare
        if not self.turn_folds:
            return self.dataset
        folds = [*settings.train_folds, *settings.val_folds, *settings.test_folds]
        places = draw % len(folds)
        turned = [*folds[places:], *folds[:places]]
        train, val = len(settings.train_folds), len(settings.train_folds) + len(settings.val_folds)
        changed = replace(settings, train_folds=tuple(turned[:train]), val_folds=tuple(turned[train:val]), test_folds=tuple(turned[val:]))
        return replace(self.dataset, prepare=changed)

    def classifier(self, arm: Arm) -> ClassifierSettings:
        """Return the classifier's settings for an arm."""
        return build(ClassifierSettings, {**to_dict(self.train_ast), **arm.train_ast}, f"arms.{arm.name}.train_ast")

    def _check_sources(self) -> None:
        """Refuse arms whose sources nobody makes, and names that mean two things."""
        made = [*self.generators, *self.augmenters, *self.rooms, *self.retrievals]
        twice = sorted({name for name in [GOLD, *made] if [GOLD, *made].count(name) > 1})
        if twice:
            where = "generators, augmenters, rooms, retrievals"
            raise InvalidValueError("name used twice", where=where, allowed="different names, none gold", received=twice)
        for arm in self.arms:
            unknown = [source for source in arm.sources if source not in (GOLD, *made)]
            if unknown or not arm.sources:
                raise InvalidValueError(
                    "unknown source", where=f"arms.{arm.name}.sources", allowed=(GOLD, *made), received=list(arm.sources)
                )
            self.classifier(arm)
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise InvalidValueError("two arms have one name", where="arms", allowed="different names", received=names)

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
        users_of_presets = [("pretrain_on", self.pretrain_on)]
        users_of_presets += [(f"retrievals.{name}.presets", retrieval.presets) for name, retrieval in self.retrievals.items()]
        for where, presets in users_of_presets:
            if presets and presets not in self.presets:
                raise InvalidValueError("no such presets", where=where, received=presets, hint=nearest(presets, self.presets))
        for name, retrieval in self.retrievals.items():
            if retrieval.root and retrieval.presets:
                received = [retrieval.root, retrieval.presets]
                raise InvalidValueError("two pools", where=f"retrievals.{name}", allowed="root or presets", received=received)
        if BASE in self.models:
            raise InvalidValueError("name taken", where=f"models.{BASE}", allowed="another name", received=BASE)
        for name in self.models:
            seen, current = [name], self.models[name].start
            while current != BASE:
                if current in seen:
                    raise InvalidValueError("goes round in a circle", where=f"models.{name}.start", allowed=BASE, received=[*seen, current])
                seen.append(current)
                current = self.models[current].start

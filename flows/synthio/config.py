"""What a ``synthio`` run can be told; the shape of ``configs/synthio.yaml``. Stage settings are the stages' own dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.contract import check_range
from core.errors import InvalidValueError
from flows.settings import RunSettings
from tasks.augment import spec as augment
from tasks.caption import spec as caption
from tasks.clap_filter import spec as clap_filter
from tasks.generate import spec as generate
from tasks.prepare import spec as prepare
from tasks.report import spec as report
from tasks.synthesize_captioned import spec as synthesize_captioned
from tasks.synthesize_demo import spec as synthesize_demo
from tasks.train_ast import spec as train_ast
from tasks.train_clap import spec as train_clap
from tasks.train_text_to_audio import spec as train_text_to_audio


@dataclass(frozen=True)
class Dataset:
    """Where the labelled clips come from (``configs/datasets/*.yaml``)."""

    name: str
    """Short name, shown everywhere."""
    root: str = ""
    """Folder with the audio; empty: the dataset is synthesised by the project itself."""
    csv: str = ""
    """Table of clips, relative to ``root``."""
    domain: str = "everyday sounds"
    """What kind of sounds these are, in words; goes into caption prompts."""
    synthesize: synthesize_demo.Settings = field(default_factory=synthesize_demo.Settings)
    """How to synthesise the demo dataset, when ``root`` is empty."""
    prepare: prepare.Settings = field(default_factory=prepare.Settings)
    """Columns, folds and checks."""


@dataclass(frozen=True)
class Arm:
    """One way to train the classifier; the arms are compared with each other."""

    name: str
    """Shown in the table."""
    sources: tuple[str, ...]
    """``gold`` and names of generators and augmenters; what the classifier is trained on."""


@dataclass(frozen=True)
class Config(RunSettings):
    """A whole ``synthio`` run."""

    dataset: Dataset = Dataset(name="demo", prepare=prepare.Settings(split_column="split"))
    """The labelled clips."""
    num_samples: int = 50
    """Size of the gold subset drawn from the train split."""
    draw_seed: int = 0
    """Seed of the draw."""
    training_seeds: tuple[int, ...] = (1, 2)
    """One training per arm and seed."""
    shards: int = 4
    """Parts that generation and filtering are cut into; each is recorded and resumed by itself."""
    clap_checkpoint: str = ""
    """A LAION-CLAP checkpoint file to filter with; empty: a compact one is fitted on the gold subset."""
    clap_filter_on: bool = True
    """Whether generated clips are filtered at all."""
    generators: dict[str, generate.Settings] = field(
        default_factory=lambda: {
            "from_noise": generate.Settings(initialize_audio=False), "from_gold": generate.Settings(initialize_audio=True),
        }
    )  # fmt: skip
    """Ways to generate, by name."""
    augmenters: dict[str, augment.Settings] = field(
        default_factory=lambda: {
            "noise": augment.Settings(method="random_noise"), "pitch": augment.Settings(method="pitch_shift"),
            "chain": augment.Settings(method="audiomentations"), "room": augment.Settings(method="room"),
        }
    )  # fmt: skip
    """Classical ways to alter the gold clips, by name; made only for arms that name them."""
    arms: tuple[Arm, ...] = (
        Arm("gold only", ("gold",)), Arm("gold + from noise", ("gold", "from_noise")), Arm("gold + from gold", ("gold", "from_gold")),
    )  # fmt: skip
    """What is compared; the first arm is what the others are measured against."""
    caption: caption.Settings = field(default_factory=caption.Settings)
    pretraining: synthesize_captioned.Settings = field(default_factory=synthesize_captioned.Settings)
    train_text_to_audio: train_text_to_audio.Settings = field(default_factory=train_text_to_audio.Settings)
    train_clap: train_clap.Settings = field(default_factory=train_clap.Settings)
    clap_filter: clap_filter.Settings = field(default_factory=clap_filter.Settings)
    train_ast: train_ast.Settings = field(default_factory=train_ast.Settings)
    report: report.Settings = field(default_factory=report.Settings)

    def __post_init__(self) -> None:
        check_range("num_samples", self.num_samples, 1, 10_000_000)
        check_range("shards", self.shards, 1, 10_000)
        known = ("gold", *self.generators, *self.augmenters)
        twice = sorted(set(self.generators) & set(self.augmenters) | {"gold"} & {*self.generators, *self.augmenters})
        if twice:
            raise InvalidValueError("name used twice", where="generators, augmenters", allowed="different names, none gold", received=twice)
        for arm in self.arms:
            unknown = [source for source in arm.sources if source not in known]
            if unknown or not arm.sources:
                raise InvalidValueError("unknown source", where=f"arms.{arm.name}.sources", allowed=known, received=list(arm.sources))
        if not self.arms or not self.training_seeds:
            raise InvalidValueError("empty", where="arms, training_seeds", allowed="at least one of each", received=())

"""How large a model is: plain values, so that a trained one says in its file how it is built."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from core.errors import InvalidValueError
from tasks.spatial_features.intensity import HOP, N_FFT


@dataclass(frozen=True)
class Sizes:
    """Architecture and the sound it takes; the defaults are DISSE's, whose released checkpoint fits them with ``direction_outputs=2``."""

    sample_rate_hz: int = 48_000
    """Of the FOA signal."""
    samples: int = 480_000
    """Length of the FOA signal; 10 s."""
    mels: int = 64
    """Bands of the log-mel spectrogram of W."""
    mel_truncation: Literal["fusion", "rand_trunc"] = "rand_trunc"
    """Filters by the name that CLAP's feature extractor has for them: ``rand_trunc`` is Slaney's, which DISSE's call gets although its
    HTSAT was trained with ``fusion``, HTK's."""
    mel_low_hz: float = 50.0
    """Its lowest edge."""
    mel_high_hz: float = 14_000.0
    """Its highest edge."""
    source: Literal["htsat", "cnn"] = "htsat"
    """Source branch: CLAP's HTSAT, or a small convolutional network."""
    htsat: dict[str, Any] = field(default_factory=lambda: {"enable_fusion": True})
    """What differs from transformers' ``ClapAudioConfig``; laion/clap-htsat-fused has fusion on."""
    cnn_widths: tuple[int, ...] = (16, 32, 64, 128)
    """Channels of the small network's blocks."""
    intensity_rate_hz: int = 16_000
    """Rate that the intensity vectors are taken at."""
    intensity_mels: int = 0
    """Mel bands that their bins are gathered in; 0 keeps the bins."""
    intensity_pool: int = 1
    """Frames whose mean is one frame of the map."""
    intensity_norm: Literal["active", "energy"] = "active"
    """Divided by the length of the active intensity (DISSE), or by the energy (bounded)."""
    intensity_clip: float = 0.0
    """Largest length of a reactive vector; 0 leaves them."""
    branch_blocks: int = 6
    """Convolutions of each of the two intensity branches; each halves both axes."""
    branch_channels: int = 16
    """Their channels."""
    branch_dropout: float = 0.3
    """Share of their outputs left out in training."""
    attribute_hidden: tuple[int, int] = (128, 32)
    """Layers between both branches and the attributes."""
    attributes: int = 44
    """Azimuth, elevation, distance, volume, DRR and T30 in 20 third-octave bands each."""
    attribute_width: int = 192
    """Width that the attributes are brought to before they join the source branch."""
    shared_hidden: int = 768
    """Hidden layer of the audio projection."""
    shared: int = 512
    """Width of the shared features of sound and of text."""
    space: int = 512
    """Width of the space embeddings; an early DISSE had 256."""
    source_width: int = 512
    """Width of the source embeddings."""
    text: dict[str, Any] = field(
        default_factory=lambda: {"vocab_size": 50_265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    )
    """What differs from transformers' ``RobertaConfig``; these are roberta-base's."""
    word_gain: float = 0.0
    """How loud the words' own embeddings are beside RoBERTa's pooled output: their sum, times this over √tokens, is added to it. 0: not at
    all, as published."""
    text_hidden: int = 640
    """Hidden layer of the text projection."""
    text_tokens: int = 512
    """Longest caption in tokens, beginning and end included."""
    regressor_hidden: int = 64
    """Hidden layer of the four physical heads."""
    direction_outputs: Literal[2, 3] = 3
    """3: a vector towards the source. 2: azimuth and elevation in radians, as published."""
    linear_gain: float = 0.0
    """Deviation of the first weights of linear layers outside of the towers, times √inputs, with biases of 0. 0: torch's own 1/√3, which a
    pre-trained branch makes up for; nine such layers in a row leave one trained from nothing next to no signal."""
    separate_scales: bool = False
    """Whether the source loss has a temperature of its own."""

    @property
    def duration_s(self) -> float:
        """Seconds of sound."""
        return self.samples / self.sample_rate_hz

    @property
    def maps(self) -> tuple[int, int]:
        """Bins and frames of an intensity map: (201, 1601) of 10 s."""
        heard = round(self.samples * self.intensity_rate_hz / self.sample_rate_hz)
        return self.intensity_mels or N_FFT // 2 + 1, (heard // HOP + 1) // self.intensity_pool

    @property
    def branch_features(self) -> int:
        """Outputs of one intensity branch: 16 × 3 × 25 = 1,200.

        Raises:
            InvalidValueError: nothing is left after so many halvings.
        """
        height, width = (size >> self.branch_blocks for size in self.maps)
        if height < 1 or width < 1:
            raise InvalidValueError(
                "maps are too small for so many halvings", where="spatial_model.branch_blocks",
                allowed=f"at most {min(self.maps).bit_length() - 1}", received=self.branch_blocks,
            )  # fmt: skip
        return self.branch_channels * height * width


def to_plain(sizes: Sizes) -> dict[str, Any]:
    """Return the sizes as plain values for a model's file."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(sizes).items()}


def from_plain(values: dict[str, Any]) -> Sizes:
    """Return the sizes that :func:`to_plain` made plain.

    Raises:
        InvalidValueError: values of another version.
    """
    known = {item.name for item in fields(Sizes)}
    if set(values) != known:
        raise InvalidValueError("sizes of another version", where="spatial_model.sizes", allowed=sorted(known), received=sorted(values))
    return Sizes(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


CPU = Sizes(
    sample_rate_hz=16_000,
    samples=40_000,
    source="cnn",
    htsat={},
    intensity_rate_hz=8_000,
    intensity_mels=32,
    intensity_pool=4,
    intensity_norm="energy",
    branch_blocks=4,
    branch_dropout=0.1,
    attribute_hidden=(128, 64),
    attribute_width=64,
    shared_hidden=256,
    linear_gain=1.2,
    shared=128,
    space=128,
    source_width=128,
    text={
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "max_position_embeddings": 66,
        "type_vocab_size": 1,
        "initializer_range": 0.09,
    },
    word_gain=4.0,
    text_hidden=128,
    text_tokens=64,
)
"""Small enough to train on two cores: 2.5 s at 16 kHz, a small network as source branch, two layers of RoBERTa, whose first
weights are larger than the published 0.02, at which narrow layers hardly pass on what a word says, and whose words are heard beside it: by
the first token alone, two layers trained from nothing learn one attribute of a room after the other (docs/spatial_model.md)."""
PRESETS = {"paper": Sizes(), "cpu": CPU}

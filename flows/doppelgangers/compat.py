"""Takes the Hydra overrides of the published code and says the same in our own keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.errors import InvalidValueError, nearest

KEYS = {
    "synth": "synth", "transform": "transform", "data.batch_size": "batch_pairs",
    "data.train_size": "train_fraction", "data.max_n": "pairs_per_epoch",
    "data.duration": "duration_s", "data.sample_rate": "sample_rate_hz", "data.ir_paths": "impulse_responses",
    "data.temporal_jitter": "temporal_jitter", "data.n_layers": "layers", "data.synthetic.delta": "delta",
    "general.epochs": "epochs", "general.unif_t": "uniform_t", "general.align_alpha": "align_alpha", "general.align_w": "align_weight",
    "general.unif_w": "uniform_weight", "general.max_audio_log_n": "sample_pairs", "general.val_interval": "look_epochs",
    "general.optimizer": "optimizer", "scheduler.milestones": "milestones", "general.scheduler.milestones": "milestones",
    "general.use_tensorboard": "tensorboard", "synthconfig.sample_rate": "sample_rate_hz", "synthconfig.control_rate": "control_rate_hz",
    "synthconfig.buffer_size_seconds": "duration_s", "synthconfig.batch_size": "batch_pairs", "embedding.num_classes": "dimensions",
    "embedding.conv_channels": "channels", "embedding.preprocessor": "front_end",
}  # fmt: skip
"""Published keys by fields of ``train_contrastive``."""
GROUPS = {"embedding": "resnet", "synthconfig": "default", "synthconfig.eps": "1e-6", "system.devices": "-1", "general.ckpt": "null"}
"""Groups that had one member, and keys of which one value says what is so anyway."""
TRAINERS = {
    "main": [], "debug": ["epochs=1", "batch_pairs=8", "pairs_per_epoch=24", "train_fraction=0.67", "width=8"],
    "fastdevrun": ["epochs=1", "batch_pairs=8", "pairs_per_epoch=16", "train_fraction=0.5", "width=8"],
}  # fmt: skip
"""Published trainers by settings of ``train_contrastive``: two small steps and a look, or one."""
UNSERVED = {
    "data.n_workers": "pairs are made in the training process", "general.log_dir": "results land below SYNTHLOOM_DATA",
    "general.run_name": "runs are named after what they do", "general.ckpt": "a stopped training goes on by itself",
    "system.devices": "set train_contrastive.num_devices=N",
    "data.pregeneration.delta": "set data.synthetic.delta: pairs on disk are made like all others",
    "data.pregeneration.n_layers": "set data.n_layers with real sounds", "data.pregeneration.batch_size": "it changes no sound",
    "data.pregeneration.data_dir": "results land below SYNTHLOOM_DATA", "data.pregeneration.ckpt_path": "no encoder is asked for pairs",
    "data.pregeneration.device": "set devices=",
}  # fmt: skip
"""Published keys without a counterpart, and what to do instead."""
FIRST = "doppelgangers"
"""The encoder of ``configs/doppelgangers.yaml``, which published overrides are about."""


def translate(words: Sequence[str]) -> list[str]:
    """Return ``key=value`` words in which published overrides are replaced by keys of ours.

    Raises:
        InvalidValueError: a published key that nothing here serves, or a group's member that never was; with what to do instead.
    """
    given = dict(word.partition("=")[::2] for word in words)
    found: list[str] = []
    for word in words:
        key, separator, value = word.partition("=")
        found += _translated(key, value, given) if separator else [word]
    return found


def _translated(key: str, value: str, given: Mapping[str, str]) -> list[str]:
    """Return our words for one published override; an override of our own is returned as it is."""
    if key in KEYS:
        return [f"train_contrastive.{KEYS[key]}={value}"]
    if key in ("data.apply_transform", "general.synthetic"):
        if value.lower() not in ("true", "false"):
            raise InvalidValueError("not a switch", where=key, allowed=("true", "false"), received=value)
        on = value.lower() == "true"
        if key == "general.synthetic":
            return [] if on else _real(given)
        return [] if on and "transform" in given else [f"train_contrastive.transform={'audiomentations' if on else 'none'}"]
    if key == "data.path":
        _real(given)
        return []
    if key == "system.seed":
        return [f"training_seeds=[{value}]"]
    if key == "data.pregeneration.n_pairs":
        return [f"pregenerated_pairs={value}"]
    if key == "trainer":
        if value not in TRAINERS:
            raise InvalidValueError("no such member", where=key, received=value, hint=nearest(value, TRAINERS))
        return [f"train_contrastive.{setting}" for setting in TRAINERS[value]]
    if key in GROUPS and value == GROUPS[key]:
        return []
    if key in UNSERVED:
        raise InvalidValueError(
            "has no counterpart", where=key, allowed="the keys of ./run.sh doppelgangers", received=value, hint=UNSERVED[key]
        )
    if key in GROUPS:
        raise InvalidValueError("no such member", where=key, received=value, hint=nearest(value, [GROUPS[key]]))
    return [f"{key}={value}"]


def _real(given: Mapping[str, str]) -> list[str]:
    """Return the words for real sounds, which are named by two published keys together."""
    path = given.get("data.path", "")
    if not path or given.get("general.synthetic", "true").lower() != "false":
        hint = "general.synthetic=false data.path=FOLDER trains on real sounds; the dataset to probe on is dataset.root"
        received = {name: given.get(name, "") for name in ("general.synthetic", "data.path")}
        raise InvalidValueError(
            "belong together", where="general.synthetic, data.path", allowed="false, and a folder", received=received, hint=hint
        )
    return [f"encoders.{FIRST}.folder={path}"]

"""Takes the Hydra overrides of the published code and says the same in our own keys."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InvalidValueError, nearest

KEYS = {
    "synth": "synth", "transform": "transform", "data.batch_size": "batch_pairs",
    "data.train_size": "train_fraction", "data.max_n": "pairs_per_epoch",
    "data.duration": "duration_s", "data.sample_rate": "sample_rate_hz", "data.ir_paths": "impulse_responses",
    "data.temporal_jitter": "temporal_jitter", "data.n_layers": "layers", "data.synthetic.delta": "delta",
    "general.epochs": "epochs", "general.unif_t": "uniform_t", "general.align_alpha": "align_alpha", "general.align_w": "align_weight",
    "general.unif_w": "uniform_weight", "general.max_audio_log_n": "sample_pairs", "general.val_interval": "look_epochs",
    "general.optimizer": "optimizer", "scheduler.milestones": "milestones", "embedding.num_classes": "dimensions",
    "embedding.conv_channels": "channels", "embedding.preprocessor": "front_end",
}  # fmt: skip
"""Published keys by fields of ``train_contrastive``."""
GROUPS = {"embedding": "resnet", "synthconfig": "default"}
"""Groups that had one member."""
UNSERVED = {
    "data.n_workers": "pairs are made in the training process", "general.synthetic": "give train_contrastive real clips by its own request",
    "general.log_dir": "results land below SYNTHLOOM_DATA", "general.use_tensorboard": "curves are on the page",
    "general.ckpt": "a stopped training goes on by itself", "general.run_name": "runs are named after what they do",
    "data.path": "set dataset.root", "system.devices": "set train_contrastive.num_devices or devices=", "trainer": "set devices=",
}  # fmt: skip
"""Published keys without a counterpart, and what to do instead."""


def translate(words: Sequence[str]) -> list[str]:
    """Return ``key=value`` words in which published overrides are replaced by keys of ours.

    Raises:
        InvalidValueError: a published key that nothing here serves, or a group's member that never was; with what to do instead.
    """
    found = []
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            found.append(word)
        elif key in KEYS:
            found.append(f"train_contrastive.{KEYS[key]}={value}")
        elif key == "data.apply_transform":
            if value.lower() not in ("true", "false"):
                raise InvalidValueError("not a switch", where=key, allowed=("true", "false"), received=value)
            if value.lower() == "false":
                found.append("train_contrastive.transform=none")
            elif not any(other.startswith("transform=") for other in words):
                found.append("train_contrastive.transform=audiomentations")
        elif key == "system.seed":
            found.append(f"training_seeds=[{value}]")
        elif key in GROUPS:
            if value != GROUPS[key]:
                raise InvalidValueError("no such member", where=key, received=value, hint=nearest(value, [GROUPS[key]]))
        elif key in UNSERVED:
            raise InvalidValueError(
                "has no counterpart", where=key, allowed="the keys of ./run.sh doppelgangers", received=value, hint=UNSERVED[key]
            )
        else:
            found.append(word)
    return found

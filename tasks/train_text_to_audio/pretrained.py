"""Takes a model that somebody else trained, such as Stable Audio Open, from a folder or from the hub cache."""

from __future__ import annotations

from pathlib import Path

from core.context import Context
from core.errors import InvalidValueError
from tasks import hub
from tasks.text_to_audio import model as text_to_audio
from tasks.text_to_audio.checkpoints import WEIGHTS
from tasks.text_to_audio.model import CONFIG
from tasks.train_text_to_audio.spec import Request, Result


def folder_of(pretrained: str) -> Path:
    """Return the folder of a pretrained model: a folder on this machine, or the snapshot of a hub model in the local cache.

    Args:
        pretrained: path of a folder, or ``owner/model``, with ``@revision`` to pin it.

    Raises:
        InvalidValueError: it is neither, or not in the cache.
    """
    path = Path(pretrained)
    if path.is_dir():
        return path.resolve()
    if path.is_absolute() or not hub.NAME.match(pretrained):
        allowed = f"a folder with {CONFIG} and {WEIGHTS}, or a hub name such as owner/model"
        raise InvalidValueError("no such model", where="train_text_to_audio.pretrained", allowed=allowed, received=pretrained)
    where = "train_text_to_audio.pretrained"
    folder = hub.snapshot(pretrained, [CONFIG, WEIGHTS], where)
    # As the library looks for them: safetensors first. A repository may hold both, several gigabytes each.
    return folder if (folder / WEIGHTS).is_file() else hub.snapshot(pretrained, [CONFIG, "model.ckpt"], where)


def take(request: Request, context: Context) -> Result:
    """Check that a pretrained model loads, and write it as a model folder of this project."""
    loaded = text_to_audio.load(folder_of(request.settings.pretrained))
    loaded.save(context.output)
    parameters = sum(part.numel() for part in loaded.model.parameters())
    return Result(0, 0, parameters, 0.0, 0.0, round(loaded.canvas_s, 3))

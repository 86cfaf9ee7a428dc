"""Where things lie for this invocation: the data root, and the folder that relative paths of the caller refer to."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import InvalidValueError
from core.keys import ROOT


def data_root(given: str = "") -> Path:
    """Return the one folder that results land under: ``given``, else ``SYNTHLOOM_DATA``, else ``./data`` of the checkout.

    Raises:
        InvalidValueError: there is a file of that name, or above it.
    """
    root = caller_path(given or os.environ.get("SYNTHLOOM_DATA") or str(ROOT / "data"))
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        hint = "set SYNTHLOOM_DATA=FOLDER; ./run.sh doctor checks it"
        raise InvalidValueError("is no folder", where="data root", allowed="a folder", received=str(root), hint=hint) from error
    return root


def caller_path(text: str) -> Path:
    """Return an absolute path for what the caller typed, relative to the folder run.sh was called from."""
    return (Path(os.environ.get("SYNTHLOOM_CWD", ".")) / Path(text).expanduser()).resolve()


def enter_checkout() -> dict[str, str]:
    """Make this checkout the working directory; the pull step of every deployment, run by the worker's flow process."""
    os.chdir(ROOT)
    return {"directory": str(ROOT)}

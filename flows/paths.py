"""Files and folders that a person names in a configuration."""

from __future__ import annotations

from pathlib import Path

from core.errors import InvalidValueError


def existing(text: str, where: str, cwd: Path, *, file: bool = False) -> str:
    """Return the absolute path of what a person names; nothing named stays nothing.

    Args:
        text: what the configuration says.
        where: the setting it says it in.
        cwd: what a relative path refers to: where run.sh was called.
        file: only a file will do.

    Raises:
        InvalidValueError: it is not there.
    """
    if not text:
        return ""
    path = (cwd / Path(text).expanduser()).resolve()
    if not (path.is_file() if file else path.exists()):
        kinds = ("no such file", "an existing file") if file else ("no such file or folder", "an existing path")
        hint = f"relative paths begin in {cwd}, where ./run.sh was called"
        raise InvalidValueError(kinds[0], where=where, allowed=kinds[1], received=str(path), hint=hint)
    return str(path)

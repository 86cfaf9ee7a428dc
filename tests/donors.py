"""Finishes a stage's output as the engine would, as far as a later run that takes clips over from it can tell."""

from __future__ import annotations

from core import atomic, keys
from core.context import CLIPS_MADE, CLIPS_REUSED, DONE, Context
from core.contract import to_dict


def finish(output, request):
    """Write the done record of an output; returns the output's path relative to the data root."""
    files = {path.relative_to(output).as_posix(): keys.file_digest(path) for path in output.rglob("*") if path.is_file()}
    atomic.write_json(output / DONE, {"files": files, "identity": {"request": to_dict(request)}})
    return f"stages/{output.parent.name}/{output.name}"


def heir(root, stage, name, donors):
    """Return the context of a run that may take clips over, and where it counts them: {"clips_made": …, "clips_reused": …}."""
    output, counts = root / "stages" / stage / name, {}
    output.mkdir(parents=True, exist_ok=True)

    def emit(kind, values):
        if kind == "metric" and values["name"] in (CLIPS_MADE, CLIPS_REUSED):
            counts[values["name"]] = int(values["value"])

    return Context(output, root, threads=1, final=f"stages/{stage}/{name}", emit=emit, donors=tuple(donors)), counts


def bytes_of(output):
    """Return the sounds of an output by name, and its manifest's rows without the paths, which name the output."""
    from core import manifest

    rows = manifest.read(output).drop(columns="path").to_dict("records")
    return {path.name: path.read_bytes() for path in sorted((output / "audio").glob("*"))}, rows

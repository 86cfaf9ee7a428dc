"""Renders a page from a template; everything that is put in is escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from core import atomic

TEMPLATES = Path(__file__).parent / "templates"
"""Where the pages' templates and the pieces they are made of lie."""


def render(template: str, folders: Sequence[Path] = (), **values: Any) -> str:
    """Return the HTML of a template below ``core/gallery/templates``; captions and labels are hostile until escaped.

    Args:
        template: its file name.
        folders: where to look for it first.
        values: what is put in.
    """
    loader = FileSystemLoader([*folders, TEMPLATES])
    environment = Environment(
        loader=loader, autoescape=select_autoescape(["html"]), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**values)


def trusted(markup: str) -> Markup:
    """Mark a string of our own making (an SVG from :mod:`core.gallery.pictures`) as HTML."""
    return Markup(markup)  # noqa: S704 - never called with text from a table


def write_script(path: Path, name: str, value: Any) -> None:
    """Write a value as a script that sets ``window.<name>``: from a file, a page may run a script beside it but read no other file.

    Text is text to the browser whatever it holds, since the page puts it in as such; NaN and infinities are refused.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    atomic.write_text(path, f"window.{name} = {text};\n")

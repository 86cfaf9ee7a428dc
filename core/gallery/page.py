"""Renders a page from a template; everything that is put in is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup


def render(template: str, **values: Any) -> str:
    """Return the HTML of a template below ``core/gallery/templates``; captions and labels are hostile until escaped."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader, autoescape=select_autoescape(["html"]), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**values)


def trusted(markup: str) -> Markup:
    """Mark a string of our own making (an SVG from :mod:`core.gallery.pictures`) as HTML."""
    return Markup(markup)  # noqa: S704 - never called with text from a table

"""A real browser for tests: Debian's chromium, driven by playwright."""

from __future__ import annotations

import io
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed (apt-get install chromium): no browser opened the page")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu",
    # Prefect's UI asks a host on the internet for settings of its own; no test may wait for, or depend on, anything but this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]  # fmt: skip
PATIENCE_MS = 60_000
"""Longest wait for an element; elements come much earlier, but not on a machine that runs other tests too."""


@contextmanager
def chromium_page(strict=False, **context):
    """Open a page in a fresh profile; what it complained about is in ``page.complaints``.

    Args:
        strict: fail in the end when the page had an uncaught error, an error on its console, or a dialog.
        context: passed to playwright's ``new_context``: viewport, color_scheme.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            page = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context}).new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.complaints = []
            page.on("pageerror", lambda error: page.complaints.append(f"uncaught: {error}"))
            page.on("console", lambda message: _is_complaint(message) and page.complaints.append(f"{message.text} {message.location}"))
            page.on("dialog", lambda dialog: (page.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            yield page
            assert not strict or not page.complaints, page.complaints
        finally:
            browser.close()


READABLE = 4.5
"""WCAG 2.2, 1.4.3: least contrast of text that is not large."""


@contextmanager
def readable_page(address, name, scheme, width):
    """Open a page in a colour scheme and width, whole and unfolded, and require that it can be read; its picture is kept as ``name``."""
    with chromium_page(strict=True, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        page.goto(address)
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        page.evaluate("for (const picture of document.images) picture.loading = 'eager'")
        page.wait_for_function("[...document.images].every(picture => picture.complete && picture.naturalWidth > 0)")
        found = contrasts(page)
        screenshot(page, f"{name}-{scheme}-{width}", whole=True)
        assert len(found) > 100 and {text: ratio for text, ratio in found.items() if ratio < READABLE} == {}
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, "only tables scroll sideways, in their own boxes"
        yield page


def _is_complaint(message):
    """Errors count, save the one about the little picture that a browser asks every server for without being told to."""
    return message.type == "error" and not message.location["url"].endswith("/favicon.ico")


def screenshot(page, name, whole=False):
    """Keep a picture of the page, or of all that can be scrolled to, in the folder that SYNTHLOOM_SCREENSHOTS names, if it does."""
    folder = os.environ.get("SYNTHLOOM_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=whole, animations="disabled")


def colours(element):
    """Return how many colours an element is drawn in; few means that it is blank."""
    return len(np.unique(np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB")).reshape(-1, 3), axis=0))


TEXTS = """() => [...document.body.querySelectorAll(":not(svg *):not(script):not(style)")]
  .filter(e => e.checkVisibility() && [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim()))
  .map(e => {
    let below = e;
    while (below && getComputedStyle(below).backgroundColor === "rgba(0, 0, 0, 0)") below = below.parentElement;
    return [e.tagName + "." + e.className + ": " + e.textContent.trim().slice(0, 40), getComputedStyle(e).color,
      getComputedStyle(below ?? document.documentElement).backgroundColor];
  })"""


def contrasts(page):
    """Return {text: its WCAG 2 contrast ratio against what is behind it} for every visible HTML text; drawings are left out."""
    return {text: _ratio(ink, paper) for text, ink, paper in page.evaluate(TEXTS)}


def _ratio(first, second):
    dark, light = sorted((_luminance(first), _luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour):
    """Return WCAG's relative luminance of an opaque ``rgb(r, g, b)``."""
    found = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour)
    assert found, f"{colour} is not opaque: what is behind it is not known"
    channels = np.array([int(part) for part in found.groups()]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])

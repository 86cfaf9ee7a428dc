"""The page of a study of probed encoders, made of stand-ins, in a real browser: readable by day and by night, tables that sort."""

import pytest

from core.context import Context
from tasks.report_probes.spec import Request
from tasks.report_probes.stage import run
from tests.browser import READABLE, chromium_page, contrasts, needs_chromium, screenshot
from tests.tasks.report_probes.test_report_probes import HOSTILE, study

__all__ = ["study"]
pytestmark = needs_chromium


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_readable_by_day_and_by_night_wide_and_narrow(study, scheme, width):
    root, _, runs = study
    output = root / "stages/report_probes/aa"
    output.mkdir(parents=True)
    run(Request(f"study {HOSTILE}", runs, "x: 1\n", "./run.sh doppelgangers"), Context(output, root, emit=lambda *_: None))
    with chromium_page(strict=True, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        page.goto((output / "index.html").as_uri())
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        found = contrasts(page)
        screenshot(page, f"probes-{scheme}-{width}", whole=True)
        assert len(found) > 40 and {text: ratio for text, ratio in found.items() if ratio < READABLE} == {}
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert page.locator("h1").inner_text() == f"study {HOSTILE}"
        assert page.locator("table.sortable .sort").count() > 5 and page.locator("audio").count() > 0

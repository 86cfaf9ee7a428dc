"""The index of all runs in a real browser: filter, sort, search, keyboard, narrow and dark, and the way to a run and its page."""

import pytest
from playwright.sync_api import expect

from core import runs
from core.run_pages.write import write
from tests.browser import PATIENCE_MS, chromium_page, contrasts, needs_chromium, screenshot

pytestmark = needs_chromium
expect.set_options(timeout=PATIENCE_MS)
RUNS = {
    # run id: flow, dataset, state, seconds
    "20261118-080000-synthio-esc10": ("synthio", "esc10", "completed", 5400.0),
    "20261119-080000-delsa-demo": ("delsa", "demo", "failed", 30.0),
    "20261120-080000-synthio-demo": ("synthio", "demo", "completed", 900.0),
    "20261121-080000-syntone-tones": ("syntone", "tones", "cancelled", 65.0),
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for number, (run_id, (flow, dataset, state, seconds)) in enumerate(RUNS.items()):
        report = f"stages/report/{number}"
        (root / report).mkdir(parents=True)
        if state == "completed":
            (root / report / "index.html").write_text("<h1>a result page</h1>")
            (root / report / "result.json").write_text('{"headline": "Synthio helps: +8.7 points, 95 % interval +4.3 … +13.0."}')
        runs.save(root, runs.Run(
            run_id, flow, f"{flow} · {dataset}", f"./run.sh {flow}", 1.7e9 + number, [], report, state, 1.7e9 + number + seconds,
            error="" if state == "completed" else "no space left", extra={"dataset": dataset, "devices": ["CPU 0"]},
        ))  # fmt: skip
    return write(root).as_uri()


def titles(page):
    return page.locator("#runs tbody th > :first-child").filter(visible=True).all_inner_texts()


def test_runs_are_filtered_sorted_and_searched(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        cells = page.locator("#runs tbody tr").filter(visible=True)
        expect(page.locator("#shown")).to_have_text("4 of 4 runs")
        assert "syntone · tones" in cells.first.inner_text(), "the newest run stands first"
        for name, value, count in (
            ("flow", "synthio", 2),
            ("dataset", "demo", 1),
            ("flow", "", 2),
            ("state", "failed", 1),
            ("dataset", "", 1),
        ):
            page.locator(f"select[data-of={name}]").select_option(f"={value}" if value else "")
            expect(page.locator("#shown")).to_have_text(f"{count} of 4 runs")
            expect(cells).to_have_count(count)
        page.locator("select[data-of=state]").select_option("")
        took = page.get_by_role("button", name="took")
        for direction, first in (("ascending", "delsa · demo"), ("descending", "synthio · esc10")):
            took.click()
            expect(page.locator("#runs thead th[aria-sort]")).to_have_attribute("aria-sort", direction)
            assert first in cells.first.inner_text(), "by seconds, not by the letters of 30 s, 65 s, 15 min and 1.5 h"
        page.keyboard.press("/")
        page.keyboard.type("interval")
        expect(page.locator("#shown")).to_have_text("2 of 4 runs")


def test_keyboard_leads_to_a_page_and_back(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        page.locator("select[data-of=state]").select_option("=completed")
        page.locator("body").click(position={"x": 2, "y": 2})
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("a result page")
        page.go_back()
        page.get_by_role("link", name="steps and log of delsa · demo").click()
        expect(page.locator("h1")).to_have_text("delsa · demo")
        expect(page.locator("#headline")).to_contain_text("no space left")
        page.get_by_role("link", name="all runs").click()
        expect(page.locator("#runs")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_readable_by_day_and_by_night_wide_and_narrow(address, scheme, width):
    with chromium_page(strict=True, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        page.goto(address)
        screenshot(page, f"runs-{scheme}-{width}", whole=True)
        assert {text: ratio for text, ratio in contrasts(page).items() if ratio < 4.5} == {}
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width

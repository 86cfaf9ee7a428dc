"""The page of a study of preset encoders, made of stand-ins, in a real browser: players, pictures, narrow and dark."""

import pytest
from playwright.sync_api import expect

from tests.browser import PATIENCE_MS, chromium_page, needs_chromium, readable_page
from tests.tasks.report_presets.stand_ins import reported, study

pytestmark = needs_chromium
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    output, _ = reported(root, study(root))
    return (output / "index.html").as_uri()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_readable_by_day_and_by_night_wide_and_narrow(address, scheme, width):
    with readable_page(address, "presets", scheme, width):
        pass


def test_a_sound_and_its_nearest_presets_play_one_at_a_time(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        players = page.locator("#lookups audio")
        expect(players).to_have_count(6)
        for number in (0, 1):
            players.nth(number).evaluate("player => { player.loop = true; return player.play(); }")
            page.wait_for_function("[...document.querySelectorAll('audio')].filter(player => !player.paused).length === 1")
            assert players.nth(number).evaluate("player => !player.paused && player.duration > 0")

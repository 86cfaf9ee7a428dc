"""The page of a study of spatial models, made of stand-ins, in a real browser: readable, nothing missing, scenes that play."""

import pytest
from playwright.sync_api import expect

from tests.browser import PATIENCE_MS, chromium_page, needs_chromium, readable_page
from tests.tasks.report_spatial.stand_ins import reported, study, surroundings

pytestmark = needs_chromium
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    surroundings(root)
    output, _ = reported(root, "aa", study(root), max_scenes=4)
    return (output / "index.html").as_uri()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_readable_by_day_and_by_night_wide_and_narrow(address, scheme, width):
    with readable_page(address, "spatial", scheme, width):
        pass


def test_scenes_play_one_at_a_time(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        players = page.locator("audio")
        expect(players).to_have_count(8)
        play = "async player => { player.loop = true; await player.play(); return player.duration; }"
        assert players.nth(0).evaluate(play) == pytest.approx(0.25, abs=0.05)
        players.nth(1).evaluate(play)
        page.wait_for_function("[...document.querySelectorAll('audio')].filter(one => !one.paused).length === 1")
        assert players.nth(0).evaluate("player => player.paused"), "the first one stopped"

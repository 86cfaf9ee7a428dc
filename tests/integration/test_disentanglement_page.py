"""The page of a disentanglement study, made of stand-ins, in a real browser: players, keyboard, narrow and dark."""

import pytest
from playwright.sync_api import expect

from tests.browser import PATIENCE_MS, chromium_page, needs_chromium, readable_page
from tests.tasks.report_disentanglement.stand_ins import described, reported, whole

pytestmark = needs_chromium
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    described(root)
    output, _ = reported(root, "aa", whole(root), classifier="stages/classify_waveform/aa")
    return (output / "index.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_readable_by_day_and_by_night_wide_and_narrow(address, scheme, width):
    with readable_page(address, "disentanglement", scheme, width) as page:
        sizes = page.locator(".tile").evaluate_all("all => all.map(tile => [tile.clientWidth, tile.clientHeight])")
        assert min(min(size) for size in sizes) >= 24, "WCAG 2.2, 2.5.8: targets are no smaller"


def test_a_picture_plays_its_own_sound_one_at_a_time(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        playing, tiles = page.locator(".tile.playing"), page.locator("#listen .tile")
        page.evaluate("player.loop = true")  # lasts until it is stopped
        tiles.nth(0).click()
        expect(playing).to_have_count(1)
        page.wait_for_function("player.currentTime > 0.02 && !player.paused")
        assert page.evaluate("player.src").endswith(tiles.nth(0).get_attribute("data-wav"))
        tiles.nth(3).click()
        expect(playing).to_have_attribute("data-wav", tiles.nth(3).get_attribute("data-wav"))
        tiles.nth(3).click()
        expect(playing).to_have_count(0)
        assert page.evaluate("player.paused")


def test_keyboard_walks_along_a_traversal_and_stops(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        page.evaluate("player.loop = true")
        tiles = page.locator(".walk").first.locator(".tile")
        tiles.nth(0).focus()
        page.keyboard.press("Space")
        expect(tiles.nth(0)).to_have_class("tile playing")
        page.keyboard.press("ArrowRight")
        expect(tiles.nth(1)).to_have_class("tile playing")
        expect(tiles.nth(1)).to_be_focused()
        page.keyboard.press("ArrowLeft")
        expect(tiles.nth(0)).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator(".tile.playing")).to_have_count(0)


def test_play_all_goes_through_a_traversal_in_order(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        page.evaluate("window.heard = []; player.addEventListener('play', () => heard.push(player.src.split('/').pop()))")
        walk = page.locator(".walk").first
        expected = [name.split("/")[-1] for name in walk.locator(".tile").evaluate_all("all => all.map(tile => tile.dataset.wav)")]
        walk.locator(".all").click()
        page.wait_for_function("count => heard.length === count && player.paused", arg=len(expected))
        assert page.evaluate("heard") == expected and page.locator(".tile.playing").count() == 0


def test_animations_stand_still_for_who_asked_for_less_motion(address):
    with chromium_page(strict=True, reduced_motion="reduce") as page:
        page.goto(address)
        wanted = page.locator(".gifs figure").count()
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        page.evaluate("for (const picture of document.images) picture.loading = 'eager'")
        expect(page.locator(".gifs canvas")).to_have_count(wanted)
        assert wanted and page.locator(".gifs img").count() == 0
        assert page.locator(".gifs canvas").first.get_attribute("aria-label").endswith("(still)")

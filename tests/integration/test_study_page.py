"""The page of a real study in a real browser: filters, players, narrow and dark, and the way to it from the Prefect UI."""

import json
import re
from urllib.parse import urlsplit

import pytest
import soundfile
from playwright.sync_api import expect

from core import runs
from core.gallery.page import render, write_script
from tests.browser import PATIENCE_MS, chromium_page, contrasts, needs_chromium, screenshot

pytestmark = needs_chromium
expect.set_options(timeout=PATIENCE_MS)
READABLE = 4.5
"""WCAG 2.2, 1.4.3: least contrast of text that is not large."""
HOSTILE = """<img src=x onerror=alert(1)><script>alert("x")</script> & 'quotes' "more\""""


@pytest.fixture(scope="module")
def record(study):
    # Named by what it printed: the newest run may be another test's, cancelled before it had a page.
    return runs.load(study[0], re.search(r"\(run (\S+)\)", study[2])[1])


@pytest.fixture(scope="module", params=["http", "file"])
def address(request, study, record):
    """The study's page on the page server and as a file: both must do."""
    root = study[0]
    if request.param == "file":
        return (root / record.report / "index.html").as_uri()
    return f"{json.loads((root / 'prefect/pages.json').read_text())['url']}/{record.report}/index.html"


def test_filters_show_only_what_was_chosen_and_say_how_many(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        everything = page.evaluate("clips.map(clip => [clip.label, clip.kind])")
        labels = page.locator("#by-label option").all_text_contents()[1:]
        assert len(everything) > 10 and {kind for _, kind in everything} == {"gold", "accepted", "rejected"}
        assert set(labels) == {label for label, _ in everything}
        choices = [("", "rejected"), ("", "gold"), (labels[0], "accepted"), (labels[0], ""), (labels[-1], "rejected"), ("", "")]
        for label, kind in choices:
            page.locator("#by-label").select_option(f"={label}" if label else "")
            page.locator("#by-kind").select_option(f"={kind}" if kind else "")
            wanted = [clip for clip in everything if label in ("", clip[0]) and kind in ("", clip[1])]
            assert page.evaluate("shown.map(clip => [clip.label, clip.kind])") == wanted
            cards = page.locator("#clips .clip").evaluate_all("all => all.map(card => card.ariaLabel.split(', ').slice(0, 2))")
            assert cards == wanted[: len(cards)] and (cards or not wanted)
            expect(page.locator("#shown")).to_have_text(f"{len(wanted)} of {len(everything)} clips")


def test_every_clip_of_a_real_study_says_where_it_comes_from(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        generated = "clips.filter(clip => clip.own.seed !== undefined).slice(0, 5)"
        made = page.evaluate(f"{generated}.map(clip => [clip.id, clip.parents[0], clip.own.seed, clip.caption])")
        assert len(made) == 5
        for clip, gold, seed, caption in made:
            page.goto(f"{address}#clip={clip}")
            panel = page.locator("#lineage")
            expect(panel).to_contain_text(f"seed{seed}")
            text = panel.inner_text()
            assert gold in text and caption in text and "python -m core.host generate" in text and "_text_to_audio/" in text


def test_players_seek_and_play_one_at_a_time(address, study, record):
    with chromium_page(strict=True) as page:
        answers = []
        page.on("response", lambda response: answers.append((response.url, response.status)))
        page.goto(address)
        players = page.locator(".clip audio")
        first, second = players.nth(0), players.nth(1)
        seek_and_play(page, first, study[0] / record.report)
        first.evaluate("audio => { audio.currentTime = 0; audio.playbackRate = 0.1; return audio.play(); }")  # lasts ten times as long
        second.evaluate("audio => audio.play()")
        page.wait_for_function("first => first.paused", arg=first.element_handle())
        assert not first.evaluate("audio => audio.ended"), "stopped by the other one, not by its own end"
        sounds = [status for url, status in answers if url.endswith((".wav", ".flac"))]
        if address.startswith("http"):
            assert sounds and set(sounds) == {206}, "seeking needs answers to range requests"
        assert {urlsplit(url)[:2] for url, _ in answers} == {urlsplit(address)[:2]}, "the page asks nobody else"


def seek_and_play(page, player, folder):
    """Let a player jump into its clip and play from there, started by its keyboard."""
    duration = soundfile.info(folder / player.get_attribute("src")).duration
    # Not further: see test_players_reach_every_part_of_a_clip.
    to = duration / 4
    seek(page, player, duration, to)
    player.focus()
    page.keyboard.press("Space")
    page.wait_for_function("([audio, from]) => audio.currentTime > from + 0.1", arg=[player.element_handle(), to])
    assert not player.evaluate("audio => audio.error")


def seek(page, player, duration, to):
    """Let a player load its clip anew and jump; how long the clip is must be known to it before it plays."""
    player.evaluate("audio => { audio.preload = 'auto'; audio.load(); }")
    page.wait_for_function("audio => audio.readyState == HTMLMediaElement.HAVE_ENOUGH_DATA", arg=player.element_handle())
    assert player.evaluate("audio => [audio.duration, audio.seekable.end(0)]") == pytest.approx([duration, duration], abs=0.05)
    player.evaluate("(audio, to) => { audio.currentTime = to; }", to)
    page.wait_for_function("audio => audio.error || !audio.seeking", arg=player.element_handle())
    assert player.evaluate("audio => audio.error && audio.error.message") is None
    assert player.evaluate("audio => audio.currentTime") == pytest.approx(to, abs=0.05)


def test_players_reach_every_part_of_a_clip(address, study, record):
    with chromium_page(strict=True) as page:
        page.goto(address)
        player = page.locator(".clip audio").first
        duration = soundfile.info(study[0] / record.report / player.get_attribute("src")).duration
        for part in (0.5, 0.75, 0.9):
            seek(page, player, duration, part * duration)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable_by_day_and_by_night(address, scheme):
    with chromium_page(strict=True, color_scheme=scheme) as page:
        page.goto(address)
        found = contrasts(page)
        load_pictures(page)
        screenshot(page, f"study-{scheme}", whole=True)
        assert len(found) > 50 and {text: ratio for text, ratio in found.items() if ratio < READABLE} == {}
        light = {"light": 1, "dark": 0}[scheme]
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(int(part) for part in paper[4:-1].split(",")) > 3 * 128) == light, f"{paper} is not {scheme}"


def test_narrow_window_scrolls_only_downwards(address):
    with chromium_page(strict=True, viewport={"width": 400, "height": 800}) as page:
        page.goto(address)
        load_pictures(page)
        screenshot(page, "study-narrow", whole=True)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 400
        page.evaluate("scrollTo(500, 0)")
        assert page.evaluate("scrollX") == 0
        table = page.locator(".scroll").first
        assert table.evaluate("box => box.scrollWidth > box.clientWidth"), "the wide table can be scrolled in its own box"


def load_pictures(page):
    """Wait for the spectrograms, which are otherwise loaded only when scrolled to; every one of them is there."""
    page.evaluate("for (const picture of document.images) picture.loading = 'eager'")
    page.wait_for_function("[...document.images].every(picture => picture.complete)")
    assert page.evaluate("[...document.images].every(picture => picture.naturalWidth > 0)")


def test_hostile_labels_and_captions_are_text_and_can_be_filtered_by(tmp_path):
    """With words that no real study has, in every place that takes words from a table."""
    titles = dict.fromkeys(("arm", "test", "delta"), HOSTILE)
    pair = {"clips": [{"label": HOSTILE, "what": HOSTILE, "audio": "", "picture": ""}], "detail": HOSTILE, "duplicate": True}
    measures = ("source", "draws", "clips", "fad_clap", "fad_clap_reference", "fad_mel", "fad_mel_reference", "clap_label", "clap_caption",
                "vendi", "vendi_gold", "copies", "among", "closer", "leaked", "compared")  # fmt: skip
    rounds = ("source", "round", "generated", "accepted", "rejected", "share", "draws")
    section = {
        "size": HOSTILE, "titles": titles, "rows": [{**titles, "draws": "5"}], "unit": "draws", "metric": HOSTILE, "base": HOSTILE,
        "runs": "", "curves": "", "averaged": False, "confusions": [(HOSTILE, "", True), (HOSTILE, "", False)],
        "per_class": ({"label": HOSTILE}, [{"label": HOSTILE}]), "rounds": [dict.fromkeys(rounds, HOSTILE)],
        "measures": [dict.fromkeys(measures, HOSTILE)], "pairs": [pair],
    }  # fmt: skip
    searched = {"title": HOSTILE, "chosen": HOSTILE, "titles": {"trial": HOSTILE}, "rows": [{"trial": HOSTILE}], "curves": ""}
    rejected = dict.fromkeys(("line", "path", "reason", "detail"), HOSTILE)
    text = render(
        "study.html", title=HOSTILE, headlines=[HOSTILE], sections=[section], funnel=[(HOSTILE, 1)], hidden=1, listed=2, draws=2,
        clip_file="clips.js", searches=[searched], rejected=[rejected], command=HOSTILE, config=HOSTILE,
    )  # fmt: skip
    (tmp_path / "index.html").write_text(text)
    folder = {"stage": HOSTILE, "made": HOSTILE, "listed": HOSTILE, "again": HOSTILE, "by_hand": HOSTILE}
    own = {"source_path": HOSTILE, "revised_from": HOSTILE}
    row = [HOSTILE, *[0] * 4, 1, HOSTILE, 1.0, 8000, [0.5], HOSTILE, own, [HOSTILE], 0, 0, "", 0]
    shared = {"labels": [HOSTILE, "plain"], "kinds": ["accepted"], "sources": [HOSTILE, "plain"], "sizes": [4, 6], "scores": [HOSTILE]}
    told = {**shared, "settings": [{HOSTILE: HOSTILE}], "folders": [folder], "command": HOSTILE}
    write_script(tmp_path / "clips.js", "synthloomClips", {**told, "rows": [row, ["plain", 1, 0, 1, 1, *row[5:]]]})
    with chromium_page(strict=True) as page:
        page.goto((tmp_path / "index.html").as_uri())
        expect(page).to_have_title(HOSTILE)
        expect(page.locator("h1")).to_have_text(HOSTILE)
        page.locator("#by-source").select_option(f"={HOSTILE}")
        page.locator("#by-label").select_option(f"={HOSTILE}")
        shown = page.locator("#clips .clip")
        expect(shown).to_have_count(1)
        expect(shown.locator("p[title]").nth(1)).to_have_text(HOSTILE)
        shown.locator(".origin").click()
        expect(page.locator("#lineage")).to_contain_text(f"Made by {HOSTILE}")
        expect(page.locator("#lineage-title")).to_have_text(f"{HOSTILE}, accepted, {HOSTILE}")
        assert page.evaluate("new URLSearchParams(location.hash.slice(1)).get('clip')") == HOSTILE
        assert page.locator("script").count() == 2 and page.locator("img[src=x]").count() == 0


def test_link_artifact_in_the_prefect_ui_opens_the_page_and_its_player_plays(study, record):
    home, run_id = record.ui_url.split("/runs/flow-run/")
    with chromium_page() as page:
        page.goto(f"{home}/v2/runs/flow-run/{run_id}")
        page.get_by_role("tab", name="Artifacts").click()
        card = page.get_by_role("tabpanel").get_by_role("heading", name="synthio-page")
        expect(card).to_be_visible()
        expect(page.locator("main canvas")).to_be_visible()  # the graph: what is below it moves until it is there
        screenshot(page, "prefect-artifacts")
        card.click()
        page.locator("main a[href*='/artifacts/artifact/']").first.click()
        link = page.get_by_role("link", name="result page")
        expect(link).to_be_visible()
        screenshot(page, "prefect-artifact")
        link.click()
        expect(page.locator("#headline")).to_be_visible()
        assert page.url.startswith("http://127.0.0.1:") and page.url.endswith(f"/{record.report}/index.html")
        seek_and_play(page, page.locator(".clip audio").first, study[0] / record.report)

"""A study's page with 10,000 made-up clips in a real browser: quick, complete, by keyboard, from a file and a server."""

import functools
import http.server
import json
import threading

import pytest
from playwright.sync_api import expect

from core import audio
from core.gallery import pictures
from tests.browser import PATIENCE_MS, chromium_page, contrasts, needs_chromium, screenshot
from tests.tasks.report.stand_ins import KEPT_RANK, LABELS, study

pytestmark = needs_chromium
expect.set_options(timeout=PATIENCE_MS)
COUNT = 10_000
MOST_NODES = 2500
"""Elements of the page, however many clips: its drawings have 1500, a card has ten, a few rows of cards are in view."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return study(tmp_path_factory.mktemp("clips"), COUNT)


@pytest.fixture(scope="module")
def address(made):
    return (made[0] / "index.html").as_uri()


@pytest.fixture(scope="module")
def served(made):
    """The same page from a server."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=made[0])
    handler.log_message = lambda *words: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


PLACES = "[...document.querySelectorAll('#clips .clip')].map(card => Number(card.ariaPosInSet))"
FOCUS = "[document.activeElement.ariaPosInSet, document.activeElement.className.split(' ')[0]]"
IN_SIGHT = """(() => {
  const card = document.activeElement.getBoundingClientRect(), list = box.getBoundingClientRect();
  return card.top >= list.top - 1 && card.bottom <= list.bottom + 1;
})()"""
KEYS = {"j": 2, "k": 1, "ArrowRight": 2, "ArrowLeft": 1, "ArrowDown": 5, "ArrowUp": 1, "End": COUNT, "Home": 1}
"""Keys, one after the other from the first clip on, and the clip that has the focus then."""


def said(page):
    return page.locator("#shown").inner_text()


def nodes(page):
    return page.evaluate("document.querySelectorAll('*').length")


def in_view(page):
    return page.locator("#clips .clip").evaluate_all("all => all.map(card => card.dataset.id)")


def test_ten_thousand_clips_open_with_few_elements_and_stay_few(address):
    with chromium_page(strict=True) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        expect(page.locator("#clips .clip").first).to_be_visible()
        assert said(page) == f"{COUNT} of {COUNT} clips" and nodes(page) < MOST_NODES
        before, first = nodes(page), in_view(page)
        assert not [url for url in asked if url.endswith((".wav", ".flac"))], "no sound before somebody wants to hear it"
        page.locator("#clips").evaluate("box => { box.scrollTop = box.scrollHeight / 2; }")
        page.wait_for_function("first => document.querySelector('#clips .clip').dataset.id !== first", arg=first[0])
        assert not set(first) & set(in_view(page)) and nodes(page) < before + 200
        places = page.evaluate(PLACES)
        assert places == sorted(places) and COUNT / 3 < places[0] < COUNT * 2 / 3, "read in the order in which they are seen"
        page.locator("#clips").evaluate("box => { box.scrollTop = box.scrollHeight; }")
        page.wait_for_function(f"{PLACES}.includes({COUNT})")


def test_filters_answer_rightly_and_say_how_many(address, made):
    rows = [{**row, "scores": json.loads(row["scores"]), "parameters": json.loads(row["parameters"])} for row in made[1]]
    synthetic = [row for row in rows if row["origin"] != "gold"]
    with chromium_page(strict=True) as page:
        page.goto(address)

        def counted(expected):
            assert said(page) == f"{len(expected)} of {COUNT} clips" and len(expected) < COUNT
            assert set(in_view(page)) <= {row["clip_id"] for row in expected}

        page.locator("#by-label").select_option(f"={LABELS[3]}")
        counted([row for row in rows if row["label"] == LABELS[3]])
        page.locator("#by-kind").select_option("=rejected")
        counted([row for row in synthetic if row["label"] == LABELS[3] and row["status"] == "rejected"])
        page.locator("#clear").click()
        page.locator("#by-round").select_option("=1")
        counted([row for row in synthetic if row["parameters"]["round"] == 1])
        page.locator("#by-score").select_option("1")
        page.locator("#score-to").fill("2")
        counted([row for row in synthetic if row["parameters"]["round"] == 1 and row["scores"]["clap_rank"] <= 2])
        page.locator("#clear").click()
        page.locator("#search").fill("ECHO twice")
        counted([row for row in rows if "echo" in row["caption"] and "twice" in row["caption"]])
        page.locator("#clear").click()
        assert said(page) == f"{COUNT} of {COUNT} clips"
        page.locator("#search").fill("no such word")
        assert said(page) == f"0 of {COUNT} clips" and in_view(page) == []


def test_sorting_by_score_goes_through_all_clips(address, made):
    cosines = sorted((json.loads(row["scores"])["clap_cosine"], row["clip_id"]) for row in made[1] if row["origin"] != "gold")
    with chromium_page(strict=True) as page:
        page.goto(address)
        for order, expected in (("down", cosines[-1]), ("up", cosines[0])):
            page.locator("#order").select_option(order)
            value = page.evaluate("byId.get(document.querySelector('#clips .clip').dataset.id).scores[0]")
            assert value == expected[0]
        page.locator("#order").select_option("longest")
        assert page.evaluate("byId.get(document.querySelector('#clips .clip').dataset.id).seconds") == 7.0


def test_keyboard_alone_finds_plays_and_traces_a_clip(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        page.keyboard.press("j")
        assert page.evaluate(FOCUS) == ["1", "clip"]
        for key, place in KEYS.items():
            page.keyboard.press(key)
            assert page.evaluate(FOCUS) == [str(place), "clip"], key
            assert page.evaluate(IN_SIGHT), f"{key}: the focus is where it can be seen"
        sound = page.evaluate_handle("document.activeElement.querySelector('audio')")
        sound.evaluate("sound => { sound.loop = true; }")
        page.keyboard.press("Space")
        page.wait_for_function("sound => !sound.paused && sound.currentTime > 0.02", arg=sound)
        page.keyboard.press("Escape")
        page.wait_for_function("[...document.querySelectorAll('audio')].every(sound => sound.paused)")
        page.keyboard.press("/")
        page.keyboard.type("echo jjk?")
        expect(page.locator("#search")).to_have_value("echo jjk?")
        assert not page.locator("#keys").evaluate("dialog => dialog.open"), "what is typed is no command"
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#keys")).to_be_hidden()
        page.locator("#clear").click()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.locator("#lineage")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#lineage")).to_be_hidden()
        assert page.evaluate(FOCUS) == ["1", "clip"], "the focus is back where it was"


def test_a_clip_plays_on_while_the_list_is_scrolled_and_stops_for_another(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        first = page.locator("#clips .clip audio").first.element_handle()
        first.evaluate("async sound => { sound.loop = true; await sound.play(); }")
        page.locator("#clips").evaluate("box => { box.scrollTop = box.scrollHeight / 2; }")
        page.wait_for_function(f"Math.max(...{PLACES}) > 4000")
        assert first.evaluate("sound => !sound.paused && sound.isConnected")
        page.locator("#clips .clip audio").last.evaluate("async sound => { sound.loop = true; await sound.play(); }")
        page.wait_for_function("first => first.paused", arg=first)


def test_lineage_of_a_clip_by_its_address(address, made):
    rows = {row["clip_id"]: row for row in made[1]}
    clip = next(row for row in made[1][60:] if "revised_from" in row["parameters"] and row["status"] == "rejected")
    parameters, gold = json.loads(clip["parameters"]), rows[clip["parents"][0]]
    before = rows[parameters["revised_from"]]
    with chromium_page(strict=True) as page:
        page.goto(f"{address}#clip={clip['clip_id']}")
        panel = page.locator("#lineage")
        expect(panel).to_be_visible()
        text = panel.inner_text()
        for told in (gold["clip_id"], json.loads(gold["parameters"])["source_path"], clip["caption"], before["clip_id"], before["caption"],
                     f"seed\n{parameters['seed']}", "v-ddim", "stages/align_text_to_audio/aa", "Verdict: rejected", clip["reason"],
                     "./run.sh synthio", "python -m core.host generate", str(json.loads(clip["scores"])["clap_cosine"])):  # fmt: skip
            assert told in text, told
        titles = panel.locator("h3").all_inner_texts()
        beside = "Beside it: the same gold clip in every arm"
        assert titles == ["Gold clip", "Caption", "Made by generate", "Verdict: rejected", "The clip", beside, "Make it again"]
        twins = panel.locator(".twins > div")
        assert set(twins.locator("b").all_inner_texts()) == {"plain", "with rounds"}, "its twin in each arm"
        panel.locator("audio").first.evaluate("async sound => { await sound.play(); }")
        panel.get_by_role("link", name=gold["clip_id"]).click()
        expect(page.locator("#lineage-title")).to_have_text(f"{gold['label']}, gold")
        page.go_back()
        expect(page.locator("#lineage-title")).to_have_text(f"{clip['label']}, rejected, with rounds")
        family = [row for row in made[1] if gold["clip_id"] in (row["clip_id"], *row["parents"])]
        panel.get_by_role("button", name=f"list all {len(family)} that").click()
        expect(panel).to_be_hidden()
        assert said(page) == f"{len(family)} of {COUNT} clips"
        assert "#" not in page.url
    with chromium_page(strict=True) as page:
        page.goto(f"{address}#clip=nonsense")
        expect(page.locator("#lineage-title")).to_have_text("No such clip")


def test_tables_sort_by_number_whatever_stands_around_it(address):
    with chromium_page(strict=True) as page:
        page.goto(address)
        texts = ["+8.7", "−12.3 … −4.0", "14,112", "< 0.001", "62 %", "31.5 … 48.5"]
        assert page.evaluate("texts => texts.map(number)", texts) == [8.7, -12.3, 14112, 0.001, 62, 31.5]
        rows = page.locator("#scores tbody th")
        assert rows.all_inner_texts() == ["gold only", "gold + synthetic"]
        titles = page.locator("#scores thead .sort")
        titles.nth(1).focus()
        page.keyboard.press("Enter")
        assert rows.all_inner_texts() == ["gold only", "gold + synthetic"], "50 before 75"
        page.keyboard.press("Enter")
        assert rows.all_inner_texts() == ["gold + synthetic", "gold only"]
        assert page.locator("#scores thead th").nth(1).get_attribute("aria-sort") == "descending"


def test_pictures_are_ready_from_a_file_and_drawn_from_a_server(address, served, made):
    unpictured = "clips.find(clip => !clip.picture).place"
    with chromium_page(strict=True) as page:
        page.goto(address)
        page.evaluate(f"go({unpictured})")
        expect(page.locator("#clips .picture span").first).to_contain_text("./run.sh up")
        pictured = page.evaluate("clips.filter(clip => clip.picture).length")
        assert pictured == 12
        page.evaluate("go(clips.find(clip => clip.picture).place)")
        page.wait_for_function("[...document.querySelectorAll('#clips img')].some(picture => picture.complete && picture.naturalWidth > 0)")
    with chromium_page(strict=True) as page:
        page.goto(served)
        page.evaluate(f"go({unpictured})")
        expect(page.locator("#clips canvas").first).to_be_visible()
        name = page.evaluate("clips.find(clip => !clip.picture).audio")
        levels = page.evaluate("async name => await spectrogram(name, 8000)", name)
    samples, rate_hz = audio.read(made[0] / name)
    expected = pictures.log_spectrogram(samples[0], rate_hz)
    assert expected.shape == (96, len(levels[0])) and abs(expected - levels).max() < 0.05, "the same picture as those drawn beforehand"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_readable_reachable_and_named(address, scheme, width):
    with chromium_page(strict=True, color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce") as page:
        page.goto(f"{address}")
        expect(page.locator("#clips .clip").first).to_be_visible()
        page.evaluate("document.getElementById('listen').scrollIntoView()")
        screenshot(page, f"clips-{scheme}-{width}")
        assert {text: ratio for text, ratio in contrasts(page).items() if ratio < 4.5} == {}
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert unnamed(page) == []
        page.locator("#clips .origin").first.click()
        expect(page.locator("#lineage")).to_be_visible()
        screenshot(page, f"lineage-{scheme}-{width}")
        assert {text: ratio for text, ratio in contrasts(page).items() if ratio < 4.5} == {} and unnamed(page) == []
        assert page.locator("#lineage").evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
        page.evaluate("dialog.querySelector('audio').removeAttribute('aria-label')")
        assert [role for role, _ in unnamed(page)] == ["Audio"], "the check would find a control without a name"


CONTROLS = {
    "Audio", "button", "link", "textbox", "searchbox", "combobox", "spinbutton", "listitem", "list", "dialog", "navigation", "search",
    "image", "img",
}  # fmt: skip
"""Roles in chromium's accessibility tree of what must have a name."""


def unnamed(page):
    """Return the controls, pictures, lists and landmarks without a name in chromium's own accessibility tree."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    roles = {node["nodeId"]: node["role"]["value"] for node in tree if not node.get("ignored")}
    found = [node for node in tree if roles.get(node["nodeId"]) in CONTROLS]
    assert len(found) > 20

    def plain(node):
        """Lists of mere text, such as facts, need no name; the clips' items hold a player and do."""
        return roles[node["nodeId"]] in ("list", "listitem") and "Audio" not in [roles.get(child) for child in node.get("childIds", [])]

    return [(roles[node["nodeId"]], node["nodeId"]) for node in found if not node.get("name", {}).get("value") and not plain(node)]


def test_ranks_made_up_are_kept_as_said(made):
    """The stand-ins hold both kinds, else the filters prove nothing."""
    ranks = [(json.loads(row["scores"])["clap_rank"], row["status"]) for row in made[1] if row["origin"] != "gold"]
    assert {status for _, status in ranks} == {"accepted", "rejected"}
    assert all((rank <= KEPT_RANK) == (status == "accepted") for rank, status in ranks)

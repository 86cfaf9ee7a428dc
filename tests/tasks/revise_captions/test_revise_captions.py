import json

import pytest

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.caption.spec import Settings as CaptionSettings
from tasks.language_model import client
from tasks.language_model.text import names_label
from tasks.revise_captions.spec import Request, Settings
from tasks.revise_captions.stage import run
from tests.tasks.caption.chat_server import answer, serving

GOLD, FIRST, SECOND = "stages/caption/aa", "stages/clap_filter/bb", "stages/clap_filter/cc"


def gold_row(number, label, **more):
    parameters = {
        "captions": [f"{label.replace('_', ' ')} old {number}"], "events": [f"with event {number}"], "scenes": [f"in scene {number}"],
        "caption_mode": "mixcap", "described": "x",
    }  # fmt: skip
    return manifest.row(
        f"{number:016x}", f"{number}.wav", "gold", label=label, caption="old", parameters=parameters, **{"split": "train", **more}
    )


def made_row(name, gold, label, caption, status="rejected", **more):
    values = {"split": "train", "parameters": {"caption_index": 0, "iteration": 0}, "reason": "" if status == "accepted" else "silent"}
    return manifest.row(
        name, f"{name}.flac", "generate", label=label, caption=caption, status=status, **{"parents": [f"{gold:016x}"], **values, **more}
    )


@pytest.fixture
def root(tmp_path):
    """Two clock ticks and a rain; of five generated clips two are accepted and three rejected."""
    manifest.write(tmp_path / GOLD, manifest.frame([gold_row(0, "clock_tick"), gold_row(1, "clock_tick"), gold_row(2, "rain")]))
    first = [
        made_row("b1", 1, "clock_tick", "clock tick in a hall"), made_row("a1", 1, "clock_tick", "clock tick again"),
        made_row("c1", 0, "clock_tick", "clock tick evenly without a break", "accepted"),
        made_row("d1", 2, "rain", "rain on a window"), made_row("e1", 2, "rain", "rain on a tin roof", "accepted"),
    ]  # fmt: skip
    manifest.write(tmp_path / FIRST, manifest.frame(first))
    return tmp_path


def revise(root, name="out", rounds=(FIRST,), number=1, **settings):
    """Return (result, rows by clip)."""
    output = root / name
    output.mkdir()
    context = Context(output, root, emit=lambda kind, values: None)
    result = run(Request(GOLD, tuple(rounds), number, Settings(**settings)), context)
    return result, {row.clip_id: row for row in manifest.read(output).itertuples()}


def test_every_rejected_clip_gets_a_caption_in_order_and_the_rest_of_the_row_stays(root):
    result, rows = revise(root)
    assert (result.clips, result.rejected, result.revised, result.unchanged, result.accepted) == (2, 3, 3, 0, 2)
    assert list(rows) == [f"{1:016x}", f"{2:016x}"]
    before = {row.clip_id: row for row in manifest.read(root / GOLD).itertuples()}
    for clip, row in rows.items():
        own, old = json.loads(row.parameters), json.loads(before[clip].parameters)
        assert row.caption == own["captions"][0] and own["round"] == 1
        changed = ("captions", "revised_from", "round", "revised_by")
        assert {name: value for name, value in own.items() if name not in changed} == {n: v for n, v in old.items() if n != "captions"}
        for column in set(manifest.COLUMNS) - {"parameters", "caption"}:
            assert getattr(row, column) == getattr(before[clip], column)
        assert all(names_label(text, row.label) and len(text.split()) <= 25 for text in own["captions"])
    assert json.loads(rows[f"{1:016x}"].parameters)["revised_from"] == ["a1", "b1"]
    assert len(json.loads(rows[f"{1:016x}"].parameters)["captions"]) == 2


def test_new_captions_depart_from_the_old_one_and_from_accepted_components(root):
    _, rows = revise(root)
    for row in rows.values():
        for text in json.loads(row.parameters)["captions"]:
            assert text not in ("clock tick in a hall", "clock tick again", "rain on a window")
            # Gold clips 0 and 2 have accepted clips, gold clip 1 has none: its own components may still be used.
            taken = ("event 0", "scene 0", "evenly without a break") if row.label == "clock_tick" else ("event 2", "scene 2", "tin roof")
            assert not any(phrase in text for phrase in taken), text


def test_rounds_add_up_and_only_the_last_ones_rejects_are_revised(root):
    again = [made_row("a2", 1, "clock_tick", "clock tick on a bedside table", "accepted"), made_row("b2", 1, "clock_tick", "clock tick x")]
    manifest.write(root / SECOND, manifest.frame(again))
    result, rows = revise(root, rounds=(FIRST, SECOND), number=2)
    assert (result.clips, result.rejected, result.accepted) == (1, 1, 3)
    own = json.loads(rows[f"{1:016x}"].parameters)
    assert own["revised_from"] == ["b2"] and own["round"] == 2 and "bedside" not in own["captions"][0]
    assert "event 1" not in own["captions"][0]


def test_the_result_hangs_on_seed_and_clip_only(root):
    def captions(rows):
        return {clip: json.loads(row.parameters)["captions"] for clip, row in rows.items()}

    first, other = captions(revise(root, "a")[1]), captions(revise(root, "c", seed=1)[1])
    manifest.write(root / FIRST, manifest.read(root / FIRST).iloc[::-1])
    assert captions(revise(root, "b")[1]) == first != other


def test_when_every_known_word_is_used_up_the_caption_stays(root):
    from tasks.language_model import grammar

    words, default = grammar.vocabulary()["rain"], grammar.vocabulary()["default"]
    every = [*words["events"], *words["scenes"], *default["events"], *default["scenes"]]
    rows = [made_row(f"e{i}", 2, "rain", f"rain {phrase}", "accepted") for i, phrase in enumerate(every)]
    manifest.write(root / FIRST, manifest.frame([*rows, made_row("d1", 2, "rain", "rain on a window")]))
    result, found = revise(root)
    assert (result.revised, result.unchanged) == (0, 1)
    assert json.loads(found[f"{2:016x}"].parameters)["captions"] == ["rain on a window"]


def test_no_rejected_clip_gives_an_empty_valid_manifest(root):
    manifest.write(root / FIRST, manifest.frame([made_row("c1", 0, "clock_tick", "clock tick", "accepted")]))
    result, rows = revise(root)
    assert (result.clips, result.rejected, result.accepted) == (0, 0, 1) and rows == {}
    manifest.write(root / SECOND, manifest.frame([]))
    assert revise(root, "again", rounds=(FIRST, SECOND), number=2)[0].clips == 0


def test_foreign_splits_and_orphans_are_refused(root):
    manifest.write(root / SECOND, manifest.frame([made_row("x", 7, "rain", "rain")]))
    with pytest.raises(InvalidValueError, match="other gold clips"):
        revise(root, "a", rounds=(FIRST, SECOND))
    manifest.write(root / SECOND, manifest.frame([made_row("x", 2, "rain", "rain", split="test")]))
    with pytest.raises(InvalidValueError, match="not train clips"):
        revise(root, "b", rounds=(FIRST, SECOND))
    manifest.write(root / GOLD, manifest.frame([gold_row(0, "rain", split="val")]))
    with pytest.raises(InvalidValueError, match="not train clips"):
        revise(root, "c")


def test_a_clip_that_started_from_the_pool_has_a_parent_that_is_no_gold_clip(root):
    started = {"parameters": {"start": "pool"}, "parents": [f"{2:016x}", "pooled"]}
    manifest.write(root / SECOND, manifest.frame([made_row("x", 2, "rain", "rain on a window", **started)]))
    result, rows = revise(root, "a", rounds=(FIRST, SECOND), number=2)
    assert result.revised == 1 and list(rows) == [f"{2:016x}"]
    for wrong in ({"start": "gold"}, {}):
        manifest.write(root / SECOND, manifest.frame([made_row("x", 2, "rain", "rain", **started | {"parameters": wrong})]))
        with pytest.raises(InvalidValueError, match="other gold clips"):
            revise(root, f"b{len(wrong)}", rounds=(FIRST, SECOND), number=2)


def test_with_several_labels_a_revision_names_them_all(root):
    row = gold_row(0, "rain;clock_tick")
    row["parameters"] = json.dumps(json.loads(row["parameters"]) | {"caption_mode": "multi_label"})
    manifest.write(root / GOLD, manifest.frame([row]))
    manifest.write(root / FIRST, manifest.frame([made_row("a1", 0, "rain;clock_tick", "rain and clock tick again")]))
    result, rows = revise(root, label_separator=";")
    assert result.revised == 1
    text = json.loads(rows[f"{0:016x}"].parameters)["captions"][0]
    assert names_label(text, "rain") and names_label(text, "clock_tick") and ";" not in text


def test_the_settings_are_those_of_caption():
    names = set(Settings.__dataclass_fields__)
    assert names == set(CaptionSettings.__dataclass_fields__) - {"mode", "captions_per_clip", "pool_fraction"}
    assert all(getattr(Settings(), name) == getattr(CaptionSettings(), name) for name in names)


@pytest.fixture
def chat(monkeypatch):
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    with serving() as (server, address):
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        yield server


def test_a_language_model_is_shown_the_caption_and_what_was_accepted(root, chat):
    def reply(number, question, handler):
        caption = json.loads(question["messages"][1]["content"])["caption"]
        return answer({"caption": "None"}) if caption == "clock tick in a hall" else None

    chat.reply = reply
    result, rows = revise(root, language_model="openai", model="m", domain="home", price_per_million_completion_tokens=2.0)
    assert (result.requests, result.revised, result.unchanged, result.fallbacks) == (3, 2, 1, 0) and result.cost == pytest.approx(
        150 * 2e-6
    )
    asked = {data["caption"]: data for data in (json.loads(question["messages"][1]["content"]) for question in chat.questions)}
    rain = asked["rain on a window"]
    assert rain["accepted_events"] == ["with event 2"] and rain["accepted_captions"] == ["rain on a tin roof"] and rain["domain"] == "home"
    assert "clock tick" in rain["other_classes"] and "None" in chat.questions[0]["messages"][0]["content"]
    own = json.loads(rows[f"{1:016x}"].parameters)
    assert own["captions"][1] == "clock tick in a hall" and own["captions"][0].startswith("clock tick in a brand new place")
    again = revise(root, "again", language_model="openai", model="m", domain="home")[0]
    assert again.requests == 0 and again.cache_hits == 3


def test_unusable_revisions_keep_the_old_caption_and_are_counted(root, chat):
    chat.reply = lambda number, question, handler: answer({"caption": "rain and a clock tick <b>"})
    result, rows = revise(root, language_model="openai", model="m", reasks=1, max_fallback_fraction=1.0)
    assert (result.revised, result.unchanged, result.fallbacks, result.reasked) == (0, 3, 3, 3)
    assert json.loads(rows[f"{1:016x}"].parameters)["captions"] == ["clock tick again", "clock tick in a hall"]

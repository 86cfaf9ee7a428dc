"""Each guard refuses a real change, keeps the candidate, leaves the last version where it is, and says what to type next."""

import json
import os
import shutil
import threading
from pathlib import Path

import pandas as pd
import pytest
import soundfile

from core import audio, keys, locks, manifest
from core.contract import build, load_spec
from core.datasets import versions
from core.engine import Engine
from core.errors import InvalidValueError, NotPublishedError
from core.graph import Graph
from core.store import Store
from flows.regenerate import changes, graph, guards, publishing, recipe
from flows.regenerate.config import Config, Guards
from tests.browser import CHROMIUM, READABLE, chromium_page, contrasts, screenshot
from tests.flows.regeneration import RATE, World, data_files, sound

MEASURED = (
    "measures=true", "pretraining.count=12", "pretraining.duration_s=0.5", "train_clap.steps=2", "captions.mixcap.mode=template",
)  # fmt: skip


@pytest.fixture
def world(tmp_path, data_root):
    made = World(tmp_path, 40)
    made.regenerate()
    return made


def refused(world, *words, **options):
    """Regenerate and expect a refusal; returns its text and its report."""
    before, report_count = world.current(), len(world.reports())
    kept = data_files(before)
    with pytest.raises(NotPublishedError) as caught:
        world.regenerate(*words, **options)
    assert world.current() == before and data_files(before) == kept, "the last version stays"
    report = world.reports()[-1]
    assert len(world.reports()) == report_count + 1 and report["decision"] == "refused"
    candidate = world.folder / "data" / report["candidate"]
    assert (candidate / "version.json").is_file() and str(candidate) in str(caught.value)
    page = (world.folder / "data/published/toy/reports/index.html").read_text()
    assert "refused" in page and "fails" in page
    return str(caught.value), report


def can_be_read(address):
    """Open a report's page as a person does, where there is a browser: light and dark, on a desk and on a telephone."""
    for scheme, width in (("light", 1280), ("dark", 390)) if CHROMIUM else ():
        with chromium_page(strict=True, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
            page.goto(address)
            screenshot(page, f"regenerate-{scheme}-{width}", whole=True)
            low = {text: ratio for text, ratio in contrasts(page).items() if ratio < READABLE}
            assert not low and page.evaluate("document.scrollingElement.scrollWidth") <= width
            assert page.get_by_role("region", name="What a new version must hold").is_visible()
            assert page.get_by_role("link").count() == 2, "the reports before it"
            page.get_by_role("link").first.click()
            assert "refused" in page.get_by_role("heading", level=1).inner_text()


def failing(report):
    return [item["guard"] for item in report["guards"] if item["holds"] is False]


def test_too_few_clips_are_refused_and_published_once_the_guard_is_set_lower(world):
    world.rows = world.rows[:30]
    world.save()
    text, report = refused(world)
    assert failing(report) == ["fewest_clips_share"] and report["difference"]["clips"][1] < report["difference"]["clips"][0]
    relax = next(line for line in text.splitlines() if line.startswith("to publish it all the same"))
    assert "guards.fewest_clips_share=0.7" in relax and "toy stays at" in text
    text, _ = refused(world)  # asked again, nothing has to be made, and the answer is the same
    can_be_read((world.folder / "data/published/toy/reports/index.html").as_uri())
    said, ran = world.regenerate("guards.fewest_clips_share=0.7")
    assert ran == {} and "published: " in said and not (world.folder / "data/published/toy.candidate").exists()


def test_a_bound_that_let_one_version_pass_is_not_kept(world):
    kept = world.folder / "data/published/toy" / recipe.FILE
    assert "no_leak: true" in kept.read_text() and "fewest_clips_share: 0.9" in kept.read_text()
    world.rows = world.rows[:30]
    world.save()
    world.regenerate("guards.fewest_clips_share=0.1", "guards.no_leak=false", "keep=5")
    assert "no_leak: true" in kept.read_text() and "fewest_clips_share: 0.9" in kept.read_text() and "keep: 5" in kept.read_text()


def test_going_back_and_on_compares_with_what_was_present_and_says_what_it_cost(world):
    first, row = world.current(), world.rows[4]
    labels = [row["label"], "bell" if row["label"] != "bell" else "dog"]
    row["label"] = labels[1]
    world.save()
    world.regenerate("keep=2")
    row["label"] = labels[0]
    world.save()
    said, ran = world.regenerate("keep=2")
    assert ran == {} and world.current() == first and "made before, for an earlier version" in said and "40 clips made" not in said
    world.rows[5]["label"] = "bell" if world.rows[5]["label"] != "bell" else "dog"
    world.save()
    said, _ = world.regenerate("keep=2")
    assert world.reports()[-1]["last"] == first.name and "rows changed: 1" in said and first.exists()


def test_a_version_whose_publisher_was_killed_before_its_report_gets_report_and_recipe(world):
    world.rows[4]["label"] = "bell" if world.rows[4]["label"] != "bell" else "dog"
    world.save()
    world.regenerate()
    folder, before = world.current().parent, world.reports()
    (folder / "recipe.yaml").unlink()
    for path in sorted((folder / "reports").glob(f"{before[-1]['time']}/*")):
        path.unlink()
    publishing._said.clear()  # as in another process
    said, ran = world.regenerate()
    report = world.reports()[-1]
    assert ran == {} and "its report was missing" in said and (folder / "recipe.yaml").is_file()
    assert report["decision"] == "published" and (report["version"], report["last"]) == (world.current().name, before[0]["version"])
    assert report["changes"]["rows"] == before[-1]["changes"]["rows"] and report["comparison"] == before[-1]["comparison"]
    assert "missing" not in world.regenerate()[0] and len(world.reports()) == 2


def test_a_last_version_whose_record_is_damaged_is_no_first_version(world):
    (world.current() / "version.json").write_text("{")
    world.rows = world.rows[:10]
    world.save()
    before = world.current()
    with pytest.raises(InvalidValueError, match=r"version.json.*remove .* and type the same command again"):
        world.regenerate()
    assert world.current() == before


def test_two_at_once_decide_one_after_the_other(world):
    first, answers = world.current(), []
    world.rows = world.rows[:38]
    world.save()
    with locks.held(world.folder / "data/locks/regenerate/toy"):
        other = threading.Thread(target=lambda: answers.append(world.regenerate()[0]))
        other.start()
        other.join(15)
        assert other.is_alive() and world.current() == first, "it waits"
    other.join(30)
    assert "published: " in answers[0] and world.current() != first


def test_the_terminal_asks_again_without_publishing_over_what_came_after(world, monkeypatch):
    world.rows = world.rows[:39]
    world.save()
    said, _ = world.regenerate()
    mine, ours = world.plan, world.current()
    later = versions.publish(world.folder / "data", "toy", "csv", mine.exports)[0]  # another process, meanwhile
    given = Config(publish_as="toy", to="audiofolder")
    assert graph.finish(given, mine, Store(world.folder / "data")) == said
    assert world.current() == later != ours and graph.page_of(given, Store(world.folder / "data")).startswith("published/toy/reports/2")


def test_a_test_clip_under_another_name_and_form_is_found_by_its_bytes(world):
    samples, _ = audio.read(world.sounds / world.rows[0]["path"])
    assert world.rows[0]["split"] == "test"
    soundfile.write(world.sounds / "again.flac", samples.T, RATE, subtype="PCM_16")
    world.rows.append({"path": "again.flac", "label": world.rows[0]["label"], "split": "train"})
    world.save()
    text, report = refused(world)
    assert failing(report) == ["no_leak"] and "has the bytes of the held-out clip" in text
    said, _ = world.regenerate("guards.no_leak=false")
    assert "published: " in said


def test_noisier_copies_are_refused_by_distance_and_by_clap(tmp_path, data_root):
    world = World(tmp_path, 20)
    quiet = (*MEASURED, "augmenters.noise.min_snr_db=29", "augmenters.noise.max_snr_db=30")
    said, ran = world.regenerate(settings=quiet)
    assert "measure_synthetic noise" in ran and not {"report"} & set(ran) and "no source was measured in both" in said
    loud = (*MEASURED, "augmenters.noise.min_snr_db=-1", "augmenters.noise.max_snr_db=0")
    text, report = refused(world, "guards.largest_clap_drop=2", settings=loud)
    assert failing(report) == ["worst_fad_ratio"] and "noise fad_" in text
    assert {item["label"]: item["why"] for item in report["changes"]["steps"]}["augment noise"] == [
        "settings.max_snr_db: 30.0 → 0.0", "settings.min_snr_db: 29.0 → -1.0",
    ]  # fmt: skip
    old, new = (item["facts"]["measures"]["noise"]["clap_score_label"] for item in (world.reports()[0], report))
    _, report = refused(world, "guards.worst_fad_ratio=1e6", f"guards.largest_clap_drop={old - new - 1e-4:.6f}", settings=loud)
    assert failing(report) == ["largest_clap_drop"]


def test_scores_of_arms_are_compared_where_both_versions_have_them():
    last = {"counts": {"clips": 10}, "facts": {"accuracy": {"gold": 0.6, "all": 0.7}}}
    facts = {"measures": {}, "accuracy": {"gold": 0.6, "all": 0.65, "other": 0.1}}
    verdicts = {item.guard: item for item in guards.judge(Guards(), last, 10, facts, [])}
    assert verdicts["largest_accuracy_drop"].holds is False and "all 65.0%" in verdicts["largest_accuracy_drop"].said
    fine = guards.judge(Guards(largest_accuracy_drop=0.06), last, 10, facts, [])
    assert all(item.holds is not False for item in fine)


def test_distances_by_two_claps_are_not_compared():
    def version(clap, distance):
        return {"measures": {"noise": {"fad_clap": distance, "fad_mel": 5.0, "clap_score_label": 0.3, "clap": clap}}}

    last = {"counts": {"clips": 10}, "facts": version("stages/train_clap/1", 1.0)}
    same, other = (guards.judge(Guards(), last, 10, version(clap, 9.0), []) for clap in ("stages/train_clap/1", "stages/train_clap/2"))
    assert [item.holds for item in same[1:3]] == [False, True] and [item.holds for item in other[1:3]] == [True, None]


def clip(name, split, parents=(), **values):
    return manifest.row(name, f"x/{name}.wav", "gold" if not parents else "generate", split=split, parents=parents, sha256=name, **values)


def test_leaks_are_followed_through_clips_that_are_not_published():
    prepared = manifest.frame([clip("a", "train"), clip("t", "test")])
    made = manifest.frame([clip("g", "train", ["middle"])])
    middle = manifest.frame([clip("middle", "train", ["t"])])
    assert guards.leaked([prepared, made], [prepared, made]) == []
    assert guards.leaked([prepared, made], [prepared, made, middle]) == ["g (generate) was made from the held-out clip t"]
    twice = manifest.frame([clip("t", "train")])
    assert guards.leaked([prepared, twice], []) == ["t is a train clip and a held-out one"]
    assert isinstance(middle, pd.DataFrame)


def test_a_changed_stage_makes_itself_and_what_reads_it_and_nothing_else(tmp_path, data_root, monkeypatch, extra_stages):
    import tasks

    shutil.copytree(keys.ROOT / "tests/stages/count", tmp_path / "stages/recount")
    for path in (tmp_path / "stages/recount").glob("*.py"):
        path.write_text(path.read_text().replace("tasks.count", "tasks.recount").replace('name="count"', 'name="recount"'))
    monkeypatch.setenv("SYNTHLOOM_STAGES", os.pathsep.join([str(tmp_path / "stages"), os.environ["SYNTHLOOM_STAGES"]]))
    monkeypatch.setattr(tasks, "__path__", [str(tmp_path / "stages"), *tasks.__path__])

    def run():
        graph, engine = Graph(keys.FileDigests(data_root / "digests.json")), Engine(Store(data_root))
        first = graph.add("count", build(load_spec("count").Request, {"items": 3, "shards": 1}), "first")
        middle = graph.add("recount", build(load_spec("recount").Request, {"items": 3, "shards": 1, "before": first.output}), "middle")
        graph.add("count", build(load_spec("count").Request, {"items": 4, "shards": 1}), "beside")
        graph.add("count", build(load_spec("count").Request, {"items": 3, "shards": 1, "before": middle.output}), "last")
        ran = [step.label for step in graph if not engine.store.done(step.stage.name, step.key) and engine.run(step)]
        return changes.recorded(graph), ran

    before, ran = run()
    assert ran == ["first", "middle", "beside", "last"]
    path = tmp_path / "stages/recount/stage.py"
    path.write_text(path.read_text().replace("total=sum(found)", "total=sum(found) + 0"))
    keys.code_digest.cache_clear()
    after, ran = run()
    assert ran == ["middle", "last"]
    assert changes.of_steps(before, after) == [
        {"label": "middle", "stage": "recount", "why": ["code"]}, {"label": "last", "stage": "count", "why": ["what it reads"]},
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["../x", "", "current", "a" * 95, "toy.candidate"])
def test_a_name_that_cannot_be_published_is_refused_before_any_work(name):
    with pytest.raises(InvalidValueError, match="publish_as"):
        Config(publish_as=name)


def test_a_name_stands_for_its_recipe_and_more_settings_are_added(tmp_path):
    words = recipe.translate(["dataset=demo", "settings=[num_samples=20]", "keep=5"], tmp_path)
    assert 'settings=["dataset=demo", "num_samples=20"]' in words and words[-1] == "keep=5" and 'publish_as="demo"' in words
    recipe.keep(Config(settings=("dataset=esc10", "dataset.root=/sounds"), publish_as="mine", scores=True), tmp_path)
    words = recipe.translate(["dataset=mine"], tmp_path)
    assert 'settings=["dataset=esc10", "dataset.root=/sounds"]' in words and "scores=true" in words and "reuse=true" not in words
    words = recipe.translate(["dataset=mine", "settings=[dataset.root=/elsewhere,num_samples=5]"], tmp_path)
    assert 'settings=["dataset=esc10", "dataset.root=/elsewhere", "num_samples=5"]' in words, "a recipe does not grow with use"
    assert recipe.translate(["dataset=esc50"], tmp_path)[0] == 'settings=["dataset=esc50"]'
    assert recipe.translate(["publish_as=x"], tmp_path) == ["publish_as=x"]
    with pytest.raises(InvalidValueError, match="did you mean 'demo'"):
        recipe.translate(["dataset=demmo"], tmp_path)


def test_the_command_line_refuses_publishes_and_says_so(house, tmp_path):
    world = World(tmp_path, 20)
    words = ("regenerate", "publish_as=byhand", f"settings={json.dumps(world.settings())}")
    first = house.cli(*words)
    assert first.returncode == 0 and "published: " in first.stdout and "augment noise" in first.stdout, first.stdout + first.stderr
    page = Path(next(line for line in first.stdout.splitlines() if line.startswith("page to look")).split()[-1])
    assert page == house.root / "published/byhand/reports/index.html" and page.is_file()
    listed, reports = (house.root / "runs/index.html").read_text(), sorted(page.parent.glob("2*/index.html"))
    assert f"../{reports[0].relative_to(house.root)}" in listed and "the first version" in listed, "this run's report, not the newest one's"
    again = house.cli("regenerate", "dataset=byhand")
    assert again.returncode == 0 and "nothing has changed" in again.stdout and "everything is up to date" in again.stdout
    world.rows = world.rows[:12]
    audio.write(world.sounds / world.rows[2]["path"], sound(700), RATE)
    world.save()
    for _ in range(2):  # while there is work to do, and when all of it is done
        failed = house.cli("regenerate", "dataset=byhand", "settings=[num_samples=8]")
        said = failed.stdout + failed.stderr
        assert failed.returncode != 0 and "fewest_clips_share" in said and "to publish it all the same: ./run.sh regenerate" in said, said
    shown = [item["data"] for item in house.ask("artifacts/filter", {}) if item["key"] == "regenerate-scores"]
    assert any("✗ fewest_clips_share" in text for text in shown), shown


def test_a_source_that_is_no_longer_measured_is_named():
    measure = {"fad_mel": 1.0, "clap": "x"}
    last = {"counts": {"clips": 10}, "facts": {"measures": {"noise": measure, "rain": measure, "tones": measure}}}
    for now, holds in (({"noise": {"fad_mel": 1.05, "clap": "x"}}, True), ({}, None)):
        verdict = next(one for one in guards.judge(Guards(), last, 10, {"measures": now}, []) if one.guard == "worst_fad_ratio")
        assert verdict.holds is holds and verdict.said.endswith("no longer measured: " + ("rain, tones" if now else "noise, rain, tones"))
    unchanged = guards.judge(Guards(), last, 10, {"measures": last["facts"]["measures"]}, [])
    assert not any("no longer" in one.said for one in unchanged)

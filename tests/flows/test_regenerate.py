"""Three rows of a thousand: what is made again, what is taken over, and that nobody can tell the outcome from a fresh one."""

import os

import pytest

from core import audio
from tests.flows.regeneration import RATE, World, data_files, sound

ROWS = 1000


@pytest.fixture(scope="module")
def leases(tmp_path_factory):
    """Device slots of these tests' own."""
    before = os.environ.get("SYNTHLOOM_LEASES")
    os.environ["SYNTHLOOM_LEASES"] = str(tmp_path_factory.mktemp("leases"))
    yield
    os.environ.pop("SYNTHLOOM_LEASES")
    if before is not None:
        os.environ["SYNTHLOOM_LEASES"] = before


@pytest.fixture(scope="module")
def thousand(tmp_path_factory, leases):
    """A published dataset of a thousand rows."""
    world = World(tmp_path_factory.mktemp("thousand"), ROWS)
    said, ran = world.regenerate()
    return world, said, ran


def counts(ran):
    return {label: (usage["clips_made"], usage["clips_reused"]) for label, usage in ran.items() if "clips_made" in usage}


def test_three_changed_rows_cost_three_clips_a_stage_and_give_the_bytes_of_a_fresh_run(thousand):
    world, said, ran = thousand
    train = len(world.train())
    assert counts(ran) == {"prepare": (ROWS, 0), "augment noise": (train, 0)} and "published: " in said
    first = world.current()
    said, ran = world.regenerate()
    assert ran == {} and world.current() == first and len(world.reports()) == 1, "nothing changed: nothing made, nothing published"

    relabelled, resounded, removed = world.train()[5], world.train()[40], world.train()[77]
    world.rows[relabelled]["label"] = "bell" if world.rows[relabelled]["label"] != "bell" else "dog"
    audio.write(world.sounds / world.rows[resounded]["path"], sound(5000), RATE)
    gone = world.rows[removed]["path"]
    world.rows[removed] = {**world.rows[removed], "path": "new.wav"}
    audio.write(world.sounds / "new.wav", sound(6000), RATE)
    world.save()
    said, ran = world.regenerate()
    # The relabelled sound is decoded already; its augmented copy bears the label, so it is another clip.
    assert counts(ran) == {"prepare": (2, ROWS - 2), "augment noise": (3, train - 3)}
    assert set(ran) == {"prepare", "stratify", "augment noise"} and world.current() != first and first.exists()

    report = world.reports()[-1]
    rows = report["changes"]["rows"]
    assert [item["path"] for item in rows["added"]] == ["new.wav"] and [item["path"] for item in rows["removed"]] == [gone]
    assert {item["path"]: list(item["columns"]) for item in rows["changed"]} == {
        world.rows[relabelled]["path"]: ["label"], world.rows[resounded]["path"]: ["bytes"],
    }  # fmt: skip
    why = {item["label"]: item["why"] for item in report["changes"]["steps"]}
    assert why == {"prepare": ["content of csv", "content of root"], "stratify": ["what it reads"], "augment noise": ["what it reads"]}
    assert report["decision"] == "published" and report["last"] == first.name and len(report["difference"]["added"]) == 6
    assert "rows changed: 2" in said and f"3 clips made, {train - 3} taken over" in said and "✓ fewest_clips_share" in said

    world.regenerate(root="fresh")
    assert data_files(world.current()) == data_files(world.current("fresh")), "byte for byte, whatever was there before"


def test_forced_stages_take_nothing_over_and_give_the_same(thousand):
    world, _, _ = thousand
    before = data_files(world.current())
    _, ran = world.regenerate("force=[augment]")
    assert counts(ran) == {"augment noise": (len(world.train()), 0)} and data_files(world.current()) == before


def test_a_damaged_clip_of_the_last_version_is_made_again_and_other_shards_change_nothing(thousand):
    world, _, _ = thousand
    store = world.folder / "data"
    augmented = next(step for step in world.plan.graph if step.label == "augment noise")
    kept = {path.name: path.read_bytes() for path in sorted((store / augmented.output / "audio").iterdir())}
    relabelled = world.rows[world.train()[3]]
    relabelled["label"] = "door" if relabelled["label"] != "door" else "dog"
    world.save()
    victims = list(kept)[:2]
    for path in (path for name in victims for path in store.glob(f"stages/augment/*/audio/{name}")):
        data = bytearray(kept[path.name])  # in every output: another donor would help out
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    said, ran = world.regenerate(settings=["shards=5"])
    made, reused = counts(ran)["augment noise"]
    assert 2 <= made <= 3 and made + reused == len(world.train()), said  # the relabelled clip may be one of the two
    now = store / next(step for step in world.plan.graph if step.label == "augment noise").output / "audio"
    assert all(path.read_bytes() == kept[path.name] for path in now.iterdir() if path.name in kept)


TINY = (
    "train_text_to_audio.autoencoder_steps=2", "train_text_to_audio.diffusion_steps=2", "train_text_to_audio.width=64",
    "train_text_to_audio.depth=1", "train_text_to_audio.canvas_s=0.5", "pretraining.count=8", "pretraining.duration_s=0.5",
    "generators.vanilla.generate.steps=1", "generators.vanilla.generate.num_iters=1",
)  # fmt: skip


def test_a_model_that_hears_no_gold_clip_stays_and_generates_for_the_changed_rows_alone(tmp_path, leases):
    world = World(tmp_path, 20)
    train = len(world.train())
    _, ran = world.regenerate(settings=TINY, sources=("gold", "vanilla"))
    assert counts(ran)["generate vanilla"] == (train, 0) and "train_text_to_audio" in ran
    audio.write(world.sounds / world.rows[world.train()[4]]["path"], sound(900), RATE)
    world.save()
    _, ran = world.regenerate(settings=TINY, sources=("gold", "vanilla"))
    assert counts(ran) == {"prepare": (1, 19), "generate vanilla": (1, train - 1)} and "train_text_to_audio" not in ran

"""The graph of a study: what is made for which arms, and nothing for the rest."""

from pathlib import Path

import pytest

from core import config, keys
from core.errors import InvalidValueError
from flows.synthio import graph


def steps(tmp_path, *words):
    resolved = config.resolve(graph.CONFIG, "synthio", list(words))
    plan = graph.build_graph(resolved, keys.FileDigests(tmp_path / "digests.json"), cwd=Path(), command="./run.sh synthio")
    return plan, [step.label for step in plan.graph]


def test_only_what_an_arm_needs_is_made(tmp_path):
    _, default = steps(tmp_path)
    assert not [label for label in default if label.startswith(("augment", "retrieve"))]
    _, labels = steps(tmp_path, "preset=table")
    assert {label for label in labels if label.startswith("augment")} == {"augment noise", "augment pitch", "augment chain", "augment room"}
    assert set(default) < set(labels)
    _, classical = steps(tmp_path, "arms=[{name: gold, sources: [gold]}, {name: noisy, sources: [gold, noise]}]")
    assert not [label for label in classical if "text_to_audio" in label or "clap" in label]


def test_every_arm_and_seed_is_one_training_and_equal_work_is_shared(tmp_path):
    plan, labels = steps(tmp_path, "preset=table", "training_seeds=[1,2,3]")
    assert sum(label.startswith("train_ast") for label in labels) == 18 * 3
    assert labels[-1] == "report" and len(labels) == len(set(labels)) and len(plan.graph) == len(labels)


def test_unknown_and_ambiguous_sources_are_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="unknown source"):
        steps(tmp_path, "arms=[{name: x, sources: [gold, nothing]}]")
    with pytest.raises(InvalidValueError, match="name used twice"):
        steps(tmp_path, "augmenters.vanilla.method=room")

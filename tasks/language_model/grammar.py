"""Captions without a service: phrases about what was measured, a vocabulary of events and scenes by class, and sentences made of both."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.errors import InvalidValueError
from tasks.language_model.prompts import MAX_COMPONENTS, Heard, Subject, ordered
from tasks.language_model.text import clean, fault, named, names_label, spoken

TEMPLATES = (
    "{label} {event}, {scene}",
    "the sound of {label} {event} {scene}",
    "{scene}, {label} {event}",
    "{label} {event} and {event2}, {scene}",
    "a recording of {label} {event}, {event2}",
    "{label} {scene}, {event}",
    "{label}, {event} and {event2}",
    "we hear {label} {event} {scene}",
)
FACETS = (
    ("repeating very fast", "repeating quickly", "repeating slowly", "going on steadily", "rising and falling",
     "sounding once and stopping"),
    ("at a low pitch", "at a medium pitch", "at a high pitch", "at a very high pitch"),
    ("with a dull tone", "with a balanced tone", "with a bright tone", "with a shrill tone"),
    ("with a noisy hiss", "with a rough texture"),
    ("far away and quiet", "at some distance", "close and loud"),
    ("in a reverberant space", "in a dry room"),
    ("going on steadily", "in short bursts with pauses"), ("going on steadily", "changing a lot in level"),
    ("going on steadily", "with silence in between"), ("with steady background noise", "with silence in between"),
    ("at a low pitch", "with a shrill tone"), ("at a very high pitch", "with a dull tone"),
    ("at a low pitch", "at a medium pitch", "at a high pitch", "at a very high pitch", "with a noisy hiss"),
)  # fmt: skip
"""Phrases of one line exclude each other."""
_PLACES = (
    "in ",
    "on ",
    "at ",
    "over ",
    "near ",
    "inside ",
    "outside",
    "indoors",
    "outdoors",
    "behind ",
    "under ",
    "by ",
    "from ",
    "through ",
)
_JOINTS = re.compile(r"[.,;:]+|\b(?:and|while|as|then|followed by|accompanied by|along with)\b", re.IGNORECASE)
_PLACE_INSIDE = re.compile(r"\s(?=(?:in|on|at|over|near|inside|outside|behind|under) (?:a|an|the)\b)", re.IGNORECASE)


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, dict[str, list[str]]]:
    """Return events and scenes of common classes; ``default`` serves every other label."""
    return dict(json.loads((Path(__file__).parent / "vocabulary.json").read_text(encoding="utf-8")))


def seeded(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that hangs on the seed and the names only, never on the order of the clips."""
    digest = hashlib.sha256("/".join([str(seed), *names]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def known(labels: Sequence[str], kind: str) -> list[str]:
    """Return the vocabulary's events or scenes of some labels, or the common ones where it knows none of them."""
    words = vocabulary()
    keys = [spoken(label).lower().replace(" ", "_") for label in labels]
    found = [phrase for key in keys if key in words for phrase in words[key][kind]]
    return list(ordered(found)) or list(words["default"][kind])


def without_label(phrases: Sequence[str], label: str) -> list[str]:
    """Drop phrases that share a word of the label (four letters or more): they would only repeat it."""
    words = {word for word in spoken(label).lower().split() if len(word) > 3}
    return [phrase for phrase in phrases if not words & set(phrase.lower().split()) and not names_label(phrase, label)]


def usable(phrases: Sequence[str], subject: Subject) -> list[str]:
    """Drop phrases that repeat a label of the clip or name another class."""
    kept = [phrase for phrase in ordered(phrases) if not named(phrase, subject.foreign)]
    for label in subject.labels:
        kept = without_label(kept, label)
    return kept


def contradict(first: str, second: str) -> bool:
    """Whether two phrases exclude each other."""
    return any(first in facet and second in facet for facet in FACETS)


def components(subject: Subject) -> tuple[list[str], list[str]]:
    """Take a captioner's text apart at commas and conjunctions; phrases of place are scenes, the others accompany the label."""
    events, scenes = [], []
    for piece in _JOINTS.split(clean(subject.described)):
        for number, phrase in enumerate(part.strip().lower() for part in _PLACE_INSIDE.split(piece)):
            if not phrase or len(phrase.split()) > 8 or any(names_label(phrase, label) for label in subject.labels):
                continue
            if number or phrase.startswith(_PLACES):
                scenes.append(phrase)
            else:
                events.append(phrase if phrase.startswith("with ") else f"with {phrase}")
    return usable(events, subject)[:MAX_COMPONENTS], usable(scenes, subject)[:MAX_COMPONENTS]


def joined(labels: Sequence[str]) -> str:
    """Return labels as one phrase: "a", "a and b", "a, b and c"."""
    names = [spoken(label) for label in labels]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def captions(mode: str, subject: Subject, seed: int, count: int, max_words: int) -> list[str]:
    """Return ``count`` different captions that contain the label (fewer only where the words run out).

    Args:
        mode: ``mixcap`` and ``plain`` build on the subject's events and scenes; the other modes on the class's vocabulary.
        subject: the clip.
        seed: seed of the wording.
        count: captions wanted.
        max_words: longest caption.

    Raises:
        InvalidValueError: the labels alone are longer than a caption may be.
    """
    rng = seeded(seed, mode, subject.clip_id)
    own_events, own_scenes = usable(known(subject.labels, "events"), subject), usable(known(subject.labels, "scenes"), subject)
    measured = mode in ("mixcap", "plain")
    events = usable(subject.events, subject) if measured else own_events
    scenes = usable([*subject.scenes, *own_scenes] if mode == "plain" else subject.scenes, subject) if measured else own_scenes
    made: dict[str, str] = {}
    for text in _sentences(rng, subject, events, scenes, own_events, count, mode == "supcon", max_words):
        if not fault(text, subject.labels, subject.foreign, max_words):
            made.setdefault(text.casefold(), text)
        if len(made) == count:
            break
    if not made:
        raise InvalidValueError(
            "the label does not fit into a caption", where="caption.max_words", allowed="more words than the label has",
            received=f"{max_words} words for {joined(subject.labels)!r}",
        )  # fmt: skip
    return list(made.values())


def _sentences(
    rng: np.random.Generator,
    subject: Subject,
    events: list[str],
    scenes: list[str],
    novel: list[str],
    count: int,
    diverse: bool,
    words: int,
) -> Iterator[str]:
    """Yield candidates: drawn freely, or (``diverse``) so that events, scenes and wording take turns; then the plain label."""
    turns = [rng.permutation(max(1, len(items))) for items in (TEMPLATES, events, scenes)]
    for number in range(50 * count):
        labels = [subject.labels[index] for index in rng.permutation(len(subject.labels))]
        if not diverse or number >= count:
            yield sentence(rng, joined(labels), events, scenes, words, novel=novel)
            continue
        index, event, scene = (int(turn[number % len(turn)]) for turn in turns)
        one = ([events[event]] if events else [], [scenes[scene]] if scenes else [])
        yield sentence(rng, joined(labels), *one, words, novel=novel, template=TEMPLATES[index])
    yield joined(subject.labels)


def sentence(
    rng: np.random.Generator, label: str, events: Sequence[str], scenes: Sequence[str], max_words: int, novel: Sequence[str] = (),
    template: str = "",
) -> str:  # fmt: skip
    """Return one caption that contains the label; components are drawn, and left out where it would get too long.

    Args:
        rng: decides.
        label: as spoken.
        events: the first event is one of them.
        scenes: the scene is one of them.
        max_words: longest caption.
        novel: further events that the second one may come from.
        template: wording; empty: drawn.
    """
    template = template or TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    chosen = [str(phrase) for phrase in rng.permutation(list(events))[:3]]
    extra = [str(phrase) for phrase in rng.permutation(list(novel))[:2]]
    first = chosen[0] if chosen else "clearly audible"
    rest = chosen[1:] + extra if rng.random() < 0.75 else extra + chosen[1:]
    second = next((phrase for phrase in rest if phrase != first and not contradict(first, phrase)), "")
    fitting = [phrase for phrase in scenes if not contradict(first, phrase) and not contradict(second, phrase)]
    scene = str(fitting[int(rng.integers(len(fitting)))]) if fitting else "somewhere"
    if "{event2}" in template and not second:
        template = TEMPLATES[0]
    text = template.format(label=label, event=first, event2=second, scene=scene)
    for shorter in (f"{label} {first}", label):
        if len(text.split()) > max_words:
            text = shorter
    text = " ".join(text.split()[:max_words])
    return text if text.startswith(label) else text[0].upper() + text[1:]


def rewrite(subject: Subject, caption: str, heard: Heard, seed: int, name: str, max_words: int) -> str:
    """Return a caption whose event and scene no accepted caption of the class has; empty when every known one is used up.

    Args:
        subject: its events and scenes, and its class's, are what a new caption may be made of.
        caption: the rejected one.
        heard: what accepted clips hold.
        seed: seed of the wording.
        name: what the draw hangs on (the rejected clip's id).
        max_words: longest caption.
    """
    rng = seeded(seed, "rewrite", name)
    taken = " ".join(heard.captions).casefold()
    default = vocabulary()["default"]

    def unheard(kind: str, own: Sequence[str], used: Sequence[str]) -> list[str]:
        every = usable([*own, *known(subject.labels, kind), *default[kind]], subject)
        return [phrase for phrase in every if phrase not in used and phrase.casefold() not in taken]

    events, scenes = unheard("events", subject.events, heard.events), unheard("scenes", subject.scenes, heard.scenes)
    if not events and not scenes:
        return ""
    # Where only one kind is left, the other one stays as it was.
    old = [phrase for phrase in usable([*subject.events, *heard.events], subject) if phrase in caption]
    old_scenes = [phrase for phrase in usable([*subject.scenes, *heard.scenes], subject) if phrase in caption]
    for _ in range(50):
        text = sentence(rng, joined(subject.labels), events or old, scenes or old_scenes, max_words)
        if text.casefold() != caption.casefold() and not fault(text, subject.labels, subject.foreign, max_words):
            return text
    return ""

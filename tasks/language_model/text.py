"""Words that come from outside: labels as spoken, cleaning, and what makes a caption unusable. Standard library only."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_TAG = re.compile(r"<[^<>]{0,200}>")
_MARKUP = re.compile(r"[<>{}\[\]`|\\]|://|\bwww\.|&#?\w+;", re.IGNORECASE)
_INSTRUCTION = re.compile(
    r"\b(ignore|disregard|forget|override)\b.{0,40}\b(instruction|prompt|above|previous|rule)|\bsystem prompt\b|\bas an ai\b"
    r"|\b(language model|api key|password)\b|\bi (can ?not|can't|am unable)\b",
    re.IGNORECASE,
)
_ENDINGS = r"(?:s|es|ing)?"


def spoken(label: str) -> str:
    """Return a label the way it is spoken: underscores are spaces."""
    return " ".join(label.replace("_", " ").split())


def labels_of(text: str, separator: str = "") -> tuple[str, ...]:
    """Return a clip's labels as spoken, each once, in their order; without a separator the whole text is one label."""
    parts = text.split(separator) if separator else [text]
    return tuple(dict.fromkeys(spoken(part) for part in parts if part.strip()))


def template(label: str) -> str:
    """Return the published template caption, the label with spaces for underscores."""
    return f"Sound of a {spoken(label)}"


def clean(text: str) -> str:
    """Return text as one line: compatibility forms folded (NFKC), control and invisible characters and HTML tags out, blanks single."""
    folded = unicodedata.normalize("NFKC", text)
    # Cc control, Cf invisible (direction marks, zero width), Cs half a surrogate pair, Co private, Cn unassigned.
    blanks = {"\n", "\r", "\t"}
    kept = "".join(
        " " if sign in blanks or unicodedata.category(sign) in ("Zl", "Zp") else "" if unicodedata.category(sign)[0] == "C" else sign
        for sign in folded
    )
    return " ".join(_TAG.sub(" ", kept).split())


def names_label(text: str, label: str) -> bool:
    """Whether a text contains a label as whole words, in any case, with a plural or -ing ending allowed."""
    return re.search(rf"(?<!\w){re.escape(spoken(label))}{_ENDINGS}(?!\w)", text, re.IGNORECASE) is not None


def foreign_labels(labels: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """Return the other labels, spoken and sorted, without those whose words the own ones hold already ("dog" for "dog bark")."""
    mine = " ".join(map(spoken, own))
    return tuple(sorted({spoken(label) for label in labels if not names_label(mine, label)}))


def named(text: str, labels: Sequence[str], own: Sequence[str] = ()) -> list[str]:
    """Return which of the labels a text names, once the own labels are taken out of it."""
    for label in own:
        text = re.sub(rf"(?<!\w){re.escape(spoken(label))}{_ENDINGS}(?!\w)", " ", text, flags=re.IGNORECASE)
    return [label for label in labels if names_label(text, label)]


def markup(text: str) -> str:
    """Return why a cleaned text is no plain description (markup, address, instruction); empty when it is one."""
    if not any(sign.isalpha() for sign in text):
        return "has no words"
    if _MARKUP.search(text):
        return "holds markup, code or an address"
    return "holds an instruction instead of a description" if _INSTRUCTION.search(text) else ""


def fault(text: str, own: Sequence[str], foreign: Sequence[str], max_words: int) -> str:
    """Return why a cleaned caption cannot be used, empty when it can.

    Args:
        text: the caption.
        own: labels that it must contain.
        foreign: labels that it must not name (:func:`foreign_labels`).
        max_words: its longest length.
    """
    if found := markup(text):
        return found
    words = len(text.split())
    if words > max_words or len(text) > 30 * max_words:
        return f"has {words} words and {len(text)} characters, allowed are {max_words} words"
    missing = [label for label in own if not names_label(text, label)]
    if missing:
        return f"does not contain the label {spoken(missing[0])!r}"
    others = named(text, foreign, own)
    return f"names another class: {others[0]!r}" if others else ""

"""Who made a recording, and what its licence allows: the words that go with a clip wherever it goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

COLUMNS = ("licence", "author", "title", "source", "licence_url")
"""What is kept of a recording, by the column it stands in."""
_ALIASES = {
    "licence": ("licence", "license"), "author": ("author", "artist", "creator", "uploader", "username"), "title": ("title",),
    "source": ("source", "source_url", "url"), "licence_url": ("licence_url", "license_url"),
}  # fmt: skip
BETWEEN = " | "
"""Between the entries of a clip made from several recordings; the same place in every column is the same recording."""
UNKNOWN = "?"


def credit(record: Mapping[str, str]) -> dict[str, str]:
    """Return what a table's row says of a recording's origin; nothing where it names neither a licence nor an author.

    Args:
        record: cells by column; ``license``, ``artist``, ``url`` and the like are understood, too.
    """
    lowered = {name.strip().lower(): value for name, value in record.items()}
    found = {
        column: next((lowered[name].strip() for name in names if lowered.get(name, "").strip()), "") for column, names in _ALIASES.items()
    }
    return {name: text for name, text in found.items() if text} if found["licence"] or found["author"] else {}


def joined(credits: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return one row for all the recordings that a clip was made from, each once, as text by column."""
    plain = (tuple(found.get(name, "").replace(BETWEEN, " / ") for name in COLUMNS) for found in credits if found)
    distinct = list(dict.fromkeys(plain))
    if len(distinct) < 2:
        return dict(zip(COLUMNS, distinct[0] if distinct else [""] * len(COLUMNS), strict=True))
    return {name: BETWEEN.join(found[place] or UNKNOWN for found in distinct) for place, name in enumerate(COLUMNS)}


def apart(row: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the recordings of a row that :func:`joined` made, one by one."""
    columns = [str(row.get(name, "") or "").split(BETWEEN) for name in COLUMNS]
    longest = max(len(column) for column in columns)
    filled = [column + [""] * (longest - len(column)) for column in columns]
    found = [{name: filled[place][number] for place, name in enumerate(COLUMNS)} for number in range(longest)]
    return [item for item in found if any(item.values())]

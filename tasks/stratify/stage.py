"""Writes the manifest of the drawn clips."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.stratify.spec import Request, Result


def allot(counts: dict[str, int], wanted: int) -> dict[str, int]:
    """Return how many clips each class gives: its proportion by largest remainder, at least one, at most what it has.

    The sum is ``wanted``, unless there are more classes than that.
    """
    total = sum(counts.values())
    shares = {label: wanted * count / total for label, count in counts.items()}
    given = {label: min(counts[label], max(1, int(share))) for label, share in shares.items()}
    while sum(given.values()) < wanted:
        open_labels = [label for label in sorted(counts) if given[label] < counts[label]]
        given[max(open_labels, key=lambda label: shares[label] - given[label])] += 1
    while sum(given.values()) > max(wanted, len(counts)):
        given[min((label for label in sorted(counts) if given[label] > 1), key=lambda label: shares[label] - given[label])] -= 1
    return given


def allot_published(counts: dict[str, int], wanted: int) -> dict[str, int]:
    """Return the allotment of the published ``stratify_dataset.py``: truncated proportions, at least one."""
    total = sum(counts.values())
    return {label: max(1, int(count * wanted / total)) for label, count in counts.items()}


def run(request: Request, context: Context) -> Result:
    """Draw by the hash of seed and clip, so that a larger draw with the same seed contains the smaller one's clips, class by class."""
    table = manifest.accepted(manifest.read(context.resolve(request.clips)))
    pool = table[table["split"] == "train"]
    if len(pool) < request.num_samples:
        raise InvalidValueError(
            "not enough train clips", where="num_samples", allowed=f"1 … {len(pool)}", received=request.num_samples,
            hint=f"the pool has {pool['label'].value_counts().to_dict()}",
        )  # fmt: skip
    order = pool["clip_id"].map(lambda clip: hashlib.sha256(f"{request.seed}/{clip}".encode()).hexdigest())
    ordered = pool.assign(order=order).sort_values(["order", "clip_id"])
    if request.settings.label_separator:
        drawn = ordered.head(request.num_samples)
    else:
        counts = {str(label): int(count) for label, count in pool["label"].value_counts().sort_index().items()}
        given = (allot_published if request.settings.published_sizes else allot)(counts, request.num_samples)
        drawn = ordered[ordered.groupby("label").cumcount() < ordered["label"].map(given)]
    manifest.write(context.output, drawn.drop(columns="order").sort_values("clip_id"))
    per_class = per_label(pool["label"], drawn["label"], request.settings.label_separator)
    return Result(requested=request.num_samples, drawn=len(drawn), per_class=per_class)


def per_label(pool: Iterable[str], drawn: Iterable[str], separator: str) -> dict[str, int]:
    """Return how many drawn clips have each label of the pool, sorted by label; with no separator a clip's text is one label."""

    def labels(texts: Iterable[str]) -> list[str]:
        return [part.strip() for text in texts for part in text.split(separator)] if separator else list(texts)

    counts = Counter(labels(drawn))
    return {label: counts[label] for label in sorted(set(labels(pool)))}

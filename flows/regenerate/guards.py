"""What a new version must hold, or it is not published."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from core import manifest
from flows.regenerate.config import Guards
from flows.regenerate.facts import CLAP

HELD_OUT = ("val", "test")
NAMED = 5


@dataclass(frozen=True)
class Verdict:
    """What one guard says."""

    guard: str
    """Its name, as in the settings below ``guards.``."""
    holds: bool | None
    """None: there is nothing to judge by."""
    said: str
    """The figures."""
    relax: str = ""
    """The setting that would let this version pass."""


def judge(
    guards: Guards, last: Mapping[str, Any] | None, clips: int, facts: Mapping[str, Any], leaks: Sequence[str]
) -> list[Verdict]:  # fmt: skip
    """Return every guard's verdict.

    Args:
        guards: the bounds.
        last: the last version's ``version.json``, None for the first version.
        clips: clips of the new version.
        facts: of the new version (:mod:`flows.regenerate.facts`).
        leaks: what :func:`leaked` found.
    """
    before = dict(last["facts"]) if last else {}
    return [
        _clips(guards, last["counts"]["clips"] if last else None, clips),
        _fad(guards, before.get("measures", {}), facts["measures"]), _clap(guards, before.get("measures", {}), facts["measures"]),
        _accuracy(guards, before.get("accuracy", {}), facts.get("accuracy", {})), _no_leak(guards, facts["measures"], leaks),
    ]  # fmt: skip


def _clips(guards: Guards, before: int | None, now: int) -> Verdict:
    name = "fewest_clips_share"
    if before is None:
        return Verdict(name, None, f"{now} clips; there is no last version to compare with")
    share = now / max(1, before)
    said = f"{now} clips, the last version has {before}: {share:.1%}, at least {guards.fewest_clips_share:.1%} are asked for"
    return Verdict(name, share >= guards.fewest_clips_share, said, f"guards.{name}={_below(share)}")


def _pairs(before: Mapping[str, Any], now: Mapping[str, Any], name: str, same_clap: bool) -> list[tuple[str, float, float]]:
    """Return a measure of every source that both versions measured, (source, last, new); with ``same_clap`` only where one CLAP did."""
    pairs = []
    for source in sorted(set(before) & set(now)):
        old, new = before[source].get(name), now[source].get(name)
        if old is not None and new is not None and (not same_clap or before[source].get(CLAP) == now[source].get(CLAP)):
            pairs.append((source, float(old), float(new)))
    return pairs


def _gone(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say which sources the last version measured and this one does not: nothing can be said of how they changed."""
    sources = sorted(set(before) - set(now))
    return f"; no longer measured: {', '.join(sources)}" if sources else ""


def _fad(guards: Guards, before: Mapping[str, Any], now: Mapping[str, Any]) -> Verdict:
    name = "worst_fad_ratio"
    found = [(f"{source} {kind}", old, new) for kind in ("fad_mel", "fad_clap")
             for source, old, new in _pairs(before, now, kind, kind == "fad_clap") if old > 0]  # fmt: skip
    gone = _gone(before, now)
    if not found:
        return Verdict(name, None, f"no source was measured in both versions{gone}")
    label, old, new = max(found, key=lambda item: item[2] / item[1])
    ratio = new / old
    said = f"{label} {new:.4g}, the last version's {old:.4g}: {ratio:.3f} times, at most {guards.worst_fad_ratio:g} times is allowed"
    said += gone
    return Verdict(name, ratio <= guards.worst_fad_ratio, said, f"guards.{name}={_above(ratio)}")


def _clap(guards: Guards, before: Mapping[str, Any], now: Mapping[str, Any]) -> Verdict:
    name = "largest_clap_drop"
    found = _pairs(before, now, "clap_score_label", same_clap=True)
    if not found:
        return Verdict(name, None, "no source was measured by the same CLAP in both versions")
    source, old, new = max(found, key=lambda item: item[1] - item[2])
    said = f"{source} {new:.4f}, the last version's {old:.4f}: a drop of {old - new:.4f}, at most {guards.largest_clap_drop:g} is allowed"
    return Verdict(name, old - new <= guards.largest_clap_drop, said, f"guards.{name}={_above(old - new)}")


def _accuracy(guards: Guards, before: Mapping[str, float], now: Mapping[str, float]) -> Verdict:
    name = "largest_accuracy_drop"
    common = sorted(set(before) & set(now))
    if not common:
        return Verdict(name, None, "no arm was scored in both versions (scores=true trains and scores)")
    arm = max(common, key=lambda item: before[item] - now[item])
    drop = before[arm] - now[arm]
    most = guards.largest_accuracy_drop
    said = f"{arm} {now[arm]:.1%}, the last version's {before[arm]:.1%}: a drop of {drop:.4f}, at most {most:g} is allowed"
    return Verdict(name, drop <= most, said, f"guards.{name}={_above(drop)}")


def _no_leak(guards: Guards, measures: Mapping[str, Any], leaks: Sequence[str]) -> Verdict:
    near = [f"{own['leaked']} clips of {source} equal a validation or test clip by sound" for source, own in measures.items()
            if own.get("leaked")]  # fmt: skip
    found = [*leaks, *near]
    if not found:
        return Verdict("no_leak", True, "no train clip is, comes from or has the bytes of a validation or test clip")
    said = f"{'; '.join(found[:NAMED])}{f' and {len(found) - NAMED} more' if len(found) > NAMED else ''}"
    return Verdict("no_leak", not guards.no_leak, said, "guards.no_leak=false")


def _above(value: float) -> str:
    return f"{value * 1.01 if value > 0 else value + 0.001:.4g}"


def _below(value: float) -> str:
    return f"{value * 0.99:.4g}"


def tables(root: Path, outputs: Iterable[str]) -> list[pd.DataFrame]:
    """Return the manifests of those outputs that have one."""
    return [manifest.read(root / output) for output in outputs if (root / output / manifest.FILE_NAME).is_file()]


def leaked(exported: Sequence[pd.DataFrame], lineage: Sequence[pd.DataFrame]) -> list[str]:
    """Return a sentence for every train clip that is, comes from, or has the bytes of a validation or test clip.

    Args:
        exported: the manifests that are published; rows that are not accepted count for the held-out side alone.
        lineage: every manifest that took part, through which parents are followed.
    """
    every = pd.concat(exported, ignore_index=True)
    held = every[every["split"].isin(HELD_OUT)]
    used = manifest.accepted(every[~every["split"].isin(HELD_OUT)])
    ids, parents = set(held["clip_id"]), _parents(lineage)
    owner = {digest: str(row.clip_id) for row in held.itertuples() for digest in _digests(row)}
    found: dict[str, str] = {}
    for row in used.itertuples():
        name = str(row.clip_id)
        by_line = sorted({*manifest.ancestors(name, lambda clip: parents.get(clip, ()))} & ids)
        by_bytes = sorted({owner[digest] for digest in _digests(row) if digest in owner})
        if name in ids:
            found[name] = f"{name} is a train clip and a held-out one"
        elif by_line:
            found[name] = f"{name} ({row.origin}) was made from the held-out clip {by_line[0]}"
        elif by_bytes:
            found[name] = f"{name} ({row.origin}) has the bytes of the held-out clip {by_bytes[0]}"
    return list(found.values())


def _digests(row: Any) -> set[str]:
    """Return the digests of a clip's file and of the file it was decoded from."""
    return {str(row.sha256), str(json.loads(row.parameters).get("source_sha256", ""))} - {""}


def _parents(lineage: Sequence[pd.DataFrame]) -> dict[str, set[str]]:
    parents: dict[str, set[str]] = {}
    for table in lineage:
        for name, own in zip(table["clip_id"], table["parents"], strict=True):
            parents.setdefault(str(name), set()).update(own)
    return parents

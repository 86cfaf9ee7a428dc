"""One face for both writers of captions: the grammar and a language model behind a server."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol, TypeVar

from core.context import Context
from core.errors import InvalidValueError
from tasks.language_model import grammar
from tasks.language_model.answers import Counts, Unusable
from tasks.language_model.prompts import Heard, Subject
from tasks.language_model.settings import CaptionerSettings, LanguageModelSettings

T = TypeVar("T")
K = TypeVar("K")


class GrammarWriter:
    """Writes from measured words and the vocabulary; asks nobody."""

    name = "grammar"
    parallel = 1

    def __init__(self, settings: CaptionerSettings) -> None:
        self._settings = settings
        self.counts = Counts()

    def components(self, subject: Subject) -> tuple[list[str], list[str]]:
        """Return the events and scenes of a description."""
        return grammar.components(subject)

    def captions(self, mode: str, subject: Subject, count: int) -> list[str]:
        """Return new captions."""
        return grammar.captions(mode, subject, self._settings.seed, count, self._settings.max_words)

    def rewrite(self, subject: Subject, caption: str, heard: Heard, name: str) -> str:
        """Return a revised caption, empty to keep the old one."""
        return grammar.rewrite(subject, caption, heard, self._settings.seed, name, self._settings.max_words)

    def stop(self) -> None:
        """Nothing is under way."""


class Writer(Protocol):
    """The one face."""

    name: str
    """Goes into the manifest."""
    parallel: int
    """Jobs at a time."""
    counts: Counts
    """What was asked."""

    def components(self, subject: Subject) -> tuple[list[str], list[str]]: ...  # noqa: D102
    def captions(self, mode: str, subject: Subject, count: int) -> list[str]: ...  # noqa: D102
    def rewrite(self, subject: Subject, caption: str, heard: Heard, name: str) -> str: ...  # noqa: D102
    def stop(self) -> None: ...  # noqa: D102


def make(settings: CaptionerSettings, where: str, context: Context) -> Writer:
    """Return the writer that the settings name.

    Raises:
        InvalidValueError: a language model is wanted, but the environment names no server.
    """
    if settings.language_model == "grammar":
        return GrammarWriter(settings)
    from tasks.language_model.chat import ChatWriter  # the library takes most of a second to import

    return ChatWriter(settings, where, context)


def for_all(
    writer: Writer, jobs: Iterable[tuple[K, Callable[[], T], Callable[[], T]]], settings: LanguageModelSettings, where: str,
    context: Context, unit: str,
) -> tuple[dict[K, T], dict[K, str]]:  # fmt: skip
    """Do jobs, several at a time with a server; one whose answers all were unusable falls back.

    Args:
        writer: who does them.
        jobs: (name, job, what to do instead).
        settings: how many at a time, and how many may fall back.
        where: name of the stage, for errors.
        context: told of the progress.
        unit: what is counted.

    Returns:
        Results by name, and the reasons of those that fell back.

    Raises:
        InvalidValueError: more than ``max_fallback_fraction`` of the jobs fell back, or the server failed for good.
    """
    listed = list(jobs)
    results: dict[K, T] = {}
    reasons: dict[K, str] = {}
    allowed = math.ceil(settings.max_fallback_fraction * len(listed))
    pool = ThreadPoolExecutor(writer.parallel)
    try:
        futures = {pool.submit(_or_stop, job, writer): (name, instead) for name, job, instead in listed}
        for future in as_completed(futures):
            name, instead = futures[future]
            try:
                results[name] = future.result()
            except Unusable as error:
                reasons[name] = str(error)
                results[name] = instead()
                context.log(f"{name}: no usable answer, using the fallback: {error}")
            if len(reasons) > allowed:
                raise InvalidValueError(
                    "too many unusable answers", where=f"{where}.max_fallback_fraction",
                    allowed=f"{settings.max_fallback_fraction:g} of the {len(listed)} {unit}",
                    received=f"{len(reasons)} so far; the last: {reasons[name]}",
                    hint="use another model, a lower temperature, or language_model=grammar",
                )  # fmt: skip
            context.progress(len(results), len(listed), unit)
    finally:
        # Also on the way out of an error: what waits between two tries must not hold the stage.
        if len(results) < len(listed):
            writer.stop()
        pool.shutdown(wait=False, cancel_futures=True)
    return {name: results[name] for name, _, _ in listed}, reasons


def _or_stop(job: Callable[[], T], writer: Writer) -> T:
    """Do a job; what fails for good stops the writer in its own thread, before that takes the next job and asks in vain."""
    try:
        return job()
    except Unusable:
        raise
    except Exception:
        writer.stop()
        raise

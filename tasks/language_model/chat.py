"""Has a language model behind a server write captions; every answer is cleaned and checked."""

from __future__ import annotations

from typing import Any

from core.context import Context
from tasks.language_model import grammar, prompts
from tasks.language_model.answers import BadAnswer, Schema
from tasks.language_model.cache import FOLDER, Cache
from tasks.language_model.client import ChatClient
from tasks.language_model.prompts import Heard, Subject
from tasks.language_model.settings import CaptionerSettings
from tasks.language_model.text import clean, fault, markup


class ChatWriter:
    """The same face as the grammar."""

    def __init__(self, settings: CaptionerSettings, where: str, context: Context) -> None:
        self._settings = settings
        self._client = ChatClient(settings, Cache(context.data_root / FOLDER), where, context.log)
        self.name, self.counts, self.parallel = settings.model, self._client.counts, settings.parallel_requests

    def components(self, subject: Subject) -> tuple[list[str], list[str]]:
        """Return the events and scenes of a description (prompt 1)."""

        def check(value: dict[str, Any]) -> tuple[list[str], list[str]]:
            found = []
            for kind in ("events", "scenes"):
                phrases = [clean(phrase).strip(" .,;").lower() for phrase in value[kind]]
                bad = next((phrase for phrase in phrases if phrase and (markup(phrase) or len(phrase.split()) > 12)), None)
                if bad:
                    raise BadAnswer(f"{kind}: {bad[:80]!r} is no short phrase")
                found.append(grammar.usable([phrase for phrase in phrases if phrase], subject))
            return found[0], found[1]

        return self._client.ask(
            prompts.components(subject), Schema("components", prompts.COMPONENTS), check, self._seed("1", subject.clip_id)
        )

    def captions(self, mode: str, subject: Subject, count: int) -> list[str]:
        """Return new captions (prompt 2, or that of another mode)."""
        messages, schema = prompts.captions(mode, subject, self._settings.domain, count, self._settings.max_words)

        def check(value: dict[str, Any]) -> list[str]:
            texts = [self._fit(text, subject) for text in value["captions"]]
            if len({text.casefold() for text in texts}) < len(texts):
                raise BadAnswer("two captions are alike")
            return texts

        return self._client.ask(messages, Schema("captions", schema), check, self._seed(mode, subject.clip_id))

    def rewrite(self, subject: Subject, caption: str, heard: Heard, name: str) -> str:
        """Return a revised caption, empty to keep the old one (prompt 3)."""

        def check(value: dict[str, Any]) -> str:
            text = clean(value["caption"])
            if text.strip(" .'\"").casefold() in ("none", "", "null", caption.casefold()):
                return ""
            return self._fit(text, subject)

        # A question has room for a few: drawn, or only the first clips' would ever be told.
        rng = grammar.seeded(self._settings.seed, "heard", name)

        def some(items: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(items[index] for index in sorted(rng.permutation(len(items))[: prompts.MAX_COMPONENTS]))

        heard = Heard(some(heard.events), some(heard.scenes), some(heard.captions))
        messages = prompts.revision(subject, caption, heard, self._settings.domain, self._settings.max_words)
        return self._client.ask(messages, Schema("revision", prompts.REVISION), check, self._seed("revision", name))

    def _seed(self, *names: str) -> int:
        # No prompt holds a clip's id: two clips of a class would get the same answer from one seed.
        return int(grammar.seeded(self._settings.seed, *names).integers(2**31))

    def _fit(self, text: str, subject: Subject) -> str:
        cleaned = clean(text)
        wrong = fault(cleaned, subject.labels, subject.foreign, self._settings.max_words)
        if wrong:
            raise BadAnswer(f"the caption {cleaned[:80]!r} {wrong}")
        return cleaned

    def stop(self) -> None:
        """Start no further request."""
        self._client.pacer.stop()

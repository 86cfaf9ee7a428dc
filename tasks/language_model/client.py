"""Asks a server that speaks the OpenAI chat protocol for JSON, checks what it says, asks again, waits, counts, remembers.

The server's address comes from ``OPENAI_BASE_URL`` and the key from ``OPENAI_API_KEY``, from nowhere else; neither is written anywhere.
An answer is data: it is parsed as JSON, validated against a schema and handed to the caller's check. Nothing in it is ever run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import openai

from core.errors import InvalidValueError
from core.redact import redactor
from tasks.language_model.answers import BadAnswer, Counts, Schema, Unusable, checked, parse
from tasks.language_model.cache import Cache
from tasks.language_model.pacing import Pacer, retry_after_s
from tasks.language_model.settings import LanguageModelSettings
from tasks.language_model.text import clean
from tasks.language_model.transport import AnswerTooLarge, BoundedTransport

T = TypeVar("T")
Message = dict[str, str]

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Back-off: doubled with every try between these two."""
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP codes that may pass by themselves."""
SHOWN = 600
"""Characters of a server's words that reach an error or the next question."""


def no_server_needed(where: str) -> str:
    """Return the way out, for errors; ``where`` is the stage's name."""
    return f"{where}.language_model=grammar needs no server"


def credentials(where: str) -> tuple[str | None, str]:
    """Return (base URL or None for the library's own, key) from the environment.

    Raises:
        InvalidValueError: neither is set, or one cannot be sent.
    """
    address, key = os.environ.get("OPENAI_BASE_URL", "").strip(), os.environ.get("OPENAI_API_KEY", "").strip()
    if not address and not key:
        raise InvalidValueError(
            "no language model is named", where="OPENAI_BASE_URL",
            allowed="the address of a server that speaks the OpenAI chat protocol, or OPENAI_API_KEY for the public service", received="",
            hint=no_server_needed(where),
        )  # fmt: skip
    if address and not address.startswith(("http://", "https://")):
        raise InvalidValueError("no web address", where="OPENAI_BASE_URL", allowed="http://… or https://…", received=redactor()(address))
    # A key that cannot stand in a header would be quoted in the HTTP library's own error.
    if not all("!" <= sign <= "~" for sign in key):
        raise InvalidValueError(
            "cannot be sent", where="OPENAI_API_KEY", allowed="visible ASCII characters", received="blanks or other characters in it"
        )
    return address or None, key or "none"  # local servers ask for no key, the library does


class ChatClient:
    """Asks questions; safe to use from several threads."""

    def __init__(self, settings: LanguageModelSettings, cache: Cache, where: str, log: Callable[[str], None]) -> None:
        """Read the environment.

        Args:
            settings: model and limits.
            cache: answers on disk.
            where: name of the stage, for errors.
            log: receives lines for people.
        """
        address, key = credentials(where)
        self.counts = Counts()
        self._settings, self._cache, self._where, self._log = settings, cache, where, log
        self.pacer = Pacer(settings.requests_per_minute)
        self._lock = threading.Lock()
        self._form = "json_schema"
        self._limit_name = "max_tokens"
        transport = BoundedTransport(2 * settings.timeout_s, settings.parallel_requests)
        http = httpx.Client(transport=transport, timeout=settings.timeout_s, headers={"Accept-Encoding": "identity"})
        self._api = openai.OpenAI(base_url=address, api_key=key, max_retries=0, timeout=settings.timeout_s, http_client=http)
        self._shown_address = redactor()(str(self._api.base_url))

    def ask(self, messages: list[Message], schema: Schema, check: Callable[[Any], T], seed: int) -> T:
        """Return what ``check`` makes of the answer to a question.

        Args:
            messages: the question.
            schema: what the answer must look like.
            check: turns the parsed answer into a result, or raises :class:`BadAnswer` with a reason that the model can act on.
            seed: of the draw; sent to the server, and part of the cache's key.

        Raises:
            Unusable: the answer was unusable after every re-asking.
            InvalidValueError: the server cannot be reached, refuses, or keeps failing.
        """
        s = self._settings
        key = self._cache.key(s.model, messages, s.temperature, s.max_tokens, schema.body, seed)
        known = self._cache.read(key)
        if known is not None:
            try:
                result = checked(known, schema, check)
            except BadAnswer:
                pass  # written by hand, or by checks that were laxer
            else:
                self._count(cache_hits=1)
                return result
        talk, reason = list(messages), ""
        for attempt in range(s.reasks + 1):
            answer = ""
            try:
                answer = self._completion(talk, schema, seed + attempt)
                result = checked(answer, schema, check)
            except BadAnswer as error:
                reason = str(error)[:SHOWN]
                self._count(reasked=int(attempt < s.reasks))
                talk = [*messages, *_complaint(answer, reason)]
            else:
                self._cache.write(key, answer, s.model, messages)
                return result
        raise Unusable(reason)

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, value in more.items():
                setattr(self.counts, name, getattr(self.counts, name) + value)

    def _completion(self, messages: list[Message], schema: Schema, seed: int) -> str:
        """Return the text of one answer, in the strictest form of JSON that the server knows: schema, object, or plain text."""
        forms = ("json_schema", "json_object", "text")
        at = forms.index(self._form)
        while True:
            try:
                answer = self._with_retries(messages, schema, seed, forms[at])
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                words = str(error)
                if "content_filter" in words or "content_policy" in words:
                    raise BadAnswer("the server's content filter refused the question") from None
                if "max_completion_tokens" in words and self._limit_name == "max_tokens":
                    self._limit_name = "max_completion_tokens"  # the newer name of the same limit
                elif at + 1 < len(forms):
                    at += 1
                else:
                    raise self._refused(error) from None
                continue
            if forms[at] != self._form:
                self._log(f"the language model's server refuses {self._form}; going on with {forms[at]}")
                self._form = forms[at]
            return answer

    def _with_retries(self, messages: list[Message], schema: Schema, seed: int, form: str) -> str:
        """Send a request until it is answered; waits as the server says, else twice as long every time."""
        for attempt in range(self._settings.retries + 1):
            wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt)
            self.pacer.wait()
            self._count(requests=1, retried=int(attempt > 0))
            # Outside the handlers: an error chained to the library's own would carry its request, and with it the key.
            failure: openai.APIError
            try:
                return self._text(self._send(messages, schema, seed, form))
            except openai.APIStatusError as error:
                failure = error
            except openai.APIConnectionError as error:
                failure = error
            self._consider(failure, attempt, wait)
        raise AssertionError("unreachable")

    def _consider(self, error: openai.APIError, attempt: int, wait: float) -> None:
        """Wait for the next try, or raise."""
        if isinstance(error.__cause__, AnswerTooLarge):
            raise BadAnswer(f"the answer was refused unread: {error.__cause__}") from None
        last = attempt == self._settings.retries
        if isinstance(error, (openai.BadRequestError, openai.UnprocessableEntityError)):
            raise error.with_traceback(None) from None
        if isinstance(error, openai.APIStatusError):
            if error.status_code not in RETRIED or "insufficient_quota" in str(error):
                raise self._refused(error) from None
            if last:
                raise self._failing(f"HTTP {error.status_code}: {_shown(error)}") from None
            if error.status_code == 429:
                self.pacer.pause(retry_after_s(error.response.headers.get("retry-after"), wait))
            else:
                self.pacer.sleep(wait)
            return
        if last and not isinstance(error, openai.APITimeoutError):
            raise self._unreachable(error) from None
        if last:
            raise self._failing(f"no answer within {self._settings.timeout_s:g} s") from None
        self.pacer.sleep(wait)

    def _send(self, messages: list[Message], schema: Schema, seed: int, form: str) -> str:
        s = self._settings
        options: dict[str, Any] = {self._limit_name: s.max_tokens}
        if form == "json_schema":
            described = {"name": schema.name, "schema": schema.body, "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": described}
        elif form == "json_object":
            options["response_format"] = {"type": "json_object"}
        body: list[Any] = list(messages)
        raw = self._api.chat.completions.with_raw_response.create(
            model=s.model, messages=body, temperature=s.temperature, seed=seed % 2**31, **options
        )
        # Parsed here: the library builds its objects without checking a single type.
        return raw.http_response.text

    def _text(self, body: str) -> str:
        """Return the words of an answer's body and count its tokens.

        Raises:
            BadAnswer: it is no chat completion, was cut off or refused.
        """
        answer = parse(body)
        usage = answer.get("usage")
        tokens = {name: usage.get(name) if isinstance(usage, dict) else 0 for name in ("prompt_tokens", "completion_tokens")}
        self._count(**{name: value for name, value in tokens.items() if type(value) is int and 0 <= value < 10**9})
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str) or not content.strip():
            raise BadAnswer("the answer was empty")
        if isinstance(choice, dict) and choice.get("finish_reason") == "length":
            raise BadAnswer(f"the answer was cut off at {self._settings.max_tokens} tokens; answer shorter")
        return content

    def _refused(self, error: openai.APIStatusError) -> InvalidValueError:
        variable = {401: "OPENAI_API_KEY", 403: "OPENAI_API_KEY", 404: f"{self._where}.model or OPENAI_BASE_URL"}
        return InvalidValueError(
            "the language model's server refuses the request", where=variable.get(error.status_code, f"{self._where}.language_model"),
            allowed="a request the server accepts", received=f"HTTP {error.status_code}: {_shown(error)}",
            hint=f"model {self._settings.model!r} at {self._shown_address}; {no_server_needed(self._where)}",
        )  # fmt: skip

    def _failing(self, received: str) -> InvalidValueError:
        return InvalidValueError(
            "the language model's server keeps failing", where="OPENAI_BASE_URL",
            allowed=f"an answer within {self._settings.timeout_s:g} s",
            received=f"{received}, after {self._settings.retries + 1} tries",
            hint=f"server: {self._shown_address}; run again later: answers received so far are kept and cost nothing; "
            f"{no_server_needed(self._where)}",
        )  # fmt: skip

    def _unreachable(self, error: openai.APIError) -> InvalidValueError:
        return InvalidValueError(
            "the language model's server cannot be reached", where="OPENAI_BASE_URL", allowed="the address of a running server",
            received=f"{self._shown_address}: {_shown(error.__cause__ or error)}",
            hint=f"set OPENAI_BASE_URL; {no_server_needed(self._where)}",
        )  # fmt: skip


def _complaint(answer: str, reason: str) -> list[Message]:
    shown = [{"role": "assistant", "content": clean(answer)[:SHOWN]}] if clean(answer) else []
    return [*shown, {"role": "user", "content": f"That answer cannot be used: {reason}. Answer again, with one JSON object only."}]


def _shown(error: BaseException) -> str:
    """Return an error's words as one short line without secrets."""
    return clean(redactor()(str(error)))[:SHOWN] or type(error).__name__

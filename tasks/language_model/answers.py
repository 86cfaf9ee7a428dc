"""What an answer of a language model must be: the errors, the schema, the parsing and the checking. Needs no server's library."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jsonschema

from tasks.language_model.settings import LanguageModelSettings

T = TypeVar("T")

LONGEST_ANSWER = 50_000
"""Characters; ten times what the longest useful answer takes."""


class Unusable(Exception):
    """Every answer to one question was unusable; the message says what was wrong with the last one."""


class BadAnswer(ValueError):
    """One answer does not fit; the message goes back to the model."""


@dataclass(frozen=True)
class Schema:
    """What an answer must look like."""

    name: str
    """Letters and underscores."""
    body: dict[str, Any]
    """A JSON schema of an object."""


@dataclass
class Counts:
    """What the questions cost."""

    requests: int = 0
    """HTTP requests sent, retries included."""
    cache_hits: int = 0
    """Questions answered from disk."""
    reasked: int = 0
    """Questions put again because the answer was malformed or unfit."""
    retried: int = 0
    """Requests repeated after 429, a server error or a time-out."""
    prompt_tokens: int = 0
    """As the server counted them."""
    completion_tokens: int = 0
    """As the server counted them."""

    def cost(self, per_million_prompt: float, per_million_completion: float) -> float:
        """Return the price of the tokens, in the currency of the two prices per million."""
        return round((self.prompt_tokens * per_million_prompt + self.completion_tokens * per_million_completion) / 1e6, 6)

    def told(self, settings: LanguageModelSettings) -> dict[str, Any]:
        """Return the counts and their price by the settings: the fields of :class:`~tasks.language_model.settings.Asked` but fallbacks."""
        cost = self.cost(settings.price_per_million_prompt_tokens, settings.price_per_million_completion_tokens)
        return {**vars(self), "cost": cost}


def parse(text: str) -> dict[str, Any]:
    """Return the first JSON object of a text: models like to wrap it in a fence, thoughts or politeness.

    Raises:
        BadAnswer: there is none, or it is too large, too deep or not JSON.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    body = text.rsplit("</think>", 1)[-1]
    start = body.find("{")
    if start < 0:
        raise BadAnswer("the answer holds no JSON object")
    try:
        value, _ = json.JSONDecoder(parse_constant=refuse).raw_decode(body, start)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the answer is not valid JSON: {error}") from None
    assert isinstance(value, dict)  # it began with a brace
    return value


def checked(answer: str, schema: Schema, check: Callable[[Any], T]) -> T:
    """Return what ``check`` makes of an answer's text.

    Raises:
        BadAnswer: it is no JSON, does not fit the schema, or the check refuses it.
    """
    if len(answer) > LONGEST_ANSWER:
        raise BadAnswer("the answer is far too long")
    value = parse(answer)
    try:
        jsonschema.validate(value, schema.body, cls=jsonschema.Draft202012Validator)
    except jsonschema.ValidationError as error:
        raise BadAnswer(f"{error.json_path}: {error.message[:300]}") from None
    except RecursionError:
        raise BadAnswer("the answer is nested too deeply") from None
    return check(value)

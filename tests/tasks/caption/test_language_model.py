"""The client against a real HTTP server: the protocol's good days and bad ones."""

import json
import time
import traceback
from email.utils import formatdate
from itertools import pairwise
from threading import Thread

import pytest

from core.errors import InvalidValueError
from tasks.caption.spec import Settings
from tasks.language_model import client as client_module
from tasks.language_model.answers import BadAnswer, Schema, Unusable, parse
from tasks.language_model.cache import Cache
from tasks.language_model.client import ChatClient
from tasks.language_model.pacing import Pacer, Stopped, retry_after_s
from tests.tasks.caption.chat_server import answer, completion
from tests.tasks.caption.conftest import KEY

WORD = Schema("word", {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"], "additionalProperties": False})
ASKED = [{"role": "system", "content": "say a word as JSON"}, {"role": "user", "content": "{}"}]


def make(folder, log=None, **settings):
    quick = {"model": "test-model", "timeout_s": 5.0, "retries": 3, "reasks": 2, **settings}
    return ChatClient(Settings(**quick), Cache(folder), "caption", log or (lambda message: None))


def ask(client, check=lambda value: value["word"], seed=0):
    return client.ask(ASKED, WORD, check, seed)


def said(*replies):
    """Return a script: the given replies in turn, the last one for ever."""
    return lambda number, question, handler: replies[min(number, len(replies) - 1)]


OK = answer({"word": "rain"})


def test_a_good_answer_is_asked_for_with_its_schema_and_counted(chat, tmp_path):
    chat.reply = said(OK)
    client = make(tmp_path, temperature=0.25, max_tokens=99)
    assert ask(client, seed=7) == "rain"
    sent = chat.questions[0]
    assert sent["model"] == "test-model" and sent["temperature"] == 0.25 and sent["max_tokens"] == 99 and sent["seed"] == 7
    assert sent["messages"] == ASKED and sent["response_format"]["json_schema"]["schema"] == WORD.body
    assert chat.headers[0]["Authorization"] == f"Bearer {KEY}"
    counts = client.counts
    assert (counts.requests, counts.cache_hits, counts.reasked, counts.retried) == (1, 0, 0, 0)
    assert (counts.prompt_tokens, counts.completion_tokens) == (100, 50)
    assert counts.cost(2.0, 8.0) == pytest.approx((100 * 2 + 50 * 8) / 1e6)


def test_a_rerun_costs_nothing_and_everything_that_decides_is_in_the_key(chat, tmp_path):
    chat.reply = said(OK)
    ask(make(tmp_path))
    again = make(tmp_path)
    assert ask(again) == "rain" and again.counts.requests == 0 and again.counts.cache_hits == 1 and chat.requests == 1
    assert again.counts.prompt_tokens == 0
    for changed in ({"model": "other"}, {"temperature": 0.1}, {"max_tokens": 77}):
        ask(make(tmp_path, **changed))
    ask(make(tmp_path), seed=1)
    make(tmp_path).ask([*ASKED, {"role": "user", "content": "more"}], WORD, lambda value: value, 0)
    make(tmp_path).ask(ASKED, Schema("word", {**WORD.body, "title": "x"}), lambda value: value, 0)
    assert chat.requests == 7


def test_neither_key_nor_address_is_written_or_logged(chat, tmp_path):
    lines = []
    chat.reply = said((400, {}, {"error": {"message": "no json_schema here"}}), OK)
    ask(make(tmp_path, log=lines.append))
    kept = " ".join(path.read_text() for path in tmp_path.rglob("*.json")) + " ".join(lines)
    assert "rain" in kept and KEY not in kept and "127.0.0.1" not in kept and not list(tmp_path.rglob("*.tmp"))


def test_damaged_and_poisoned_cache_entries_are_asked_again(chat, tmp_path):
    chat.reply = said(OK)
    ask(make(tmp_path))
    entry = next(tmp_path.rglob("*.json"))
    for text in ("", "{", "[]", '{"answer": 5}', json.dumps({"answer": '{"word": 5}'}), json.dumps({"answer": "x" * 60_000})):
        entry.write_text(text)
        before = chat.requests
        assert ask(make(tmp_path)) == "rain" and chat.requests == before + 1, text
    assert json.loads(json.loads(entry.read_text())["answer"]) == {"word": "rain"}


@pytest.mark.parametrize(
    "bad",
    [
        answer("I would say: rain"),
        answer('{"word": "rain"'),
        answer('{"word": NaN}'),
        answer({"word": 5}),
        answer({"word": "rain", "and": "more"}),
        answer({"wrod": "rain"}),
        answer("[" * 20_000),
        answer('{"word": ' + "[" * 20_000),
        answer('{"word": ' + "9" * 5000 + "}"),
        answer(""),
        answer('{"word": "ra', finish="length"),
        (200, {}, completion(None)),
        (200, {}, {**completion("x"), "choices": []}),
        (200, {}, {**completion("x"), "choices": "many"}),
        (200, {}, {"choices": [{"message": {"content": {"word": "rain"}}}]}),
        (200, {}, []),
        (200, {}, b"<html>gateway</html>"),
        (200, {"Content-Type": "text/html"}, b"<html>gateway</html>"),
        (200, {}, b"\xff\xfe\x00"),
        (200, {}, json.dumps(completion("x" * 10_000_000)).encode()),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
    ],
    ids=lambda value: str(value)[:70],
)
def test_malformed_answers_are_asked_again_with_what_was_wrong(chat, tmp_path, bad):
    chat.reply = said(bad, OK)
    client = make(tmp_path)
    assert ask(client) == "rain"
    assert chat.requests == 2 and client.counts.reasked == 1 and client.counts.retried == 0
    complaint = chat.questions[1]["messages"][-1]
    assert complaint["role"] == "user" and "cannot be used" in complaint["content"]
    assert chat.questions[1]["messages"][:2] == ASKED and sum(len(m["content"]) for m in chat.questions[1]["messages"]) < 3000
    assert chat.questions[1]["seed"] != chat.questions[0]["seed"]


def test_the_callers_check_speaks_to_the_model_and_bad_answers_are_never_kept(chat, tmp_path):
    def check(value):
        if value["word"] == "rain":
            raise BadAnswer("rain is not allowed today")
        return value["word"]

    chat.reply = said(OK)
    client = make(tmp_path)
    with pytest.raises(Unusable, match="not allowed today"):
        ask(client, check)
    assert chat.requests == 3 and client.counts.reasked == 2 and not list(tmp_path.rglob("*.json"))
    assert "rain is not allowed today" in chat.questions[1]["messages"][-1]["content"]
    chat.reply = lambda number, question, handler: answer({"word": "snow"})
    assert ask(make(tmp_path), check) == "snow"


def test_json_is_found_in_fences_and_after_thoughts():
    assert parse('```json\n{"a": 1}\n```') == parse('<think>{"b": 2}</think> Sure: {"a": 1} bye {') == {"a": 1}


def test_429_waits_as_long_as_the_server_says(chat, tmp_path):
    chat.reply = said((429, {"Retry-After": "0.6"}, {"error": {"message": "slow down"}}), OK)
    client, started = make(tmp_path), time.monotonic()
    assert ask(client) == "rain"
    assert 0.6 <= time.monotonic() - started < 3 and client.counts.retried == 1 and client.counts.requests == 2


def test_retry_after_is_read_as_seconds_or_date_and_bounded():
    assert retry_after_s("7", 1.0) == 7 and retry_after_s(None, 2.5) == 2.5 and retry_after_s("soon", 2.5) == 2.5
    assert retry_after_s("nan", 2.5) == 2.5 and retry_after_s("-3", 1.0) == 0
    assert retry_after_s(formatdate(1_000_030, usegmt=True), 1.0, clock=lambda: 1_000_000.0) == pytest.approx(30)
    for value in ("86400", "inf"):
        with pytest.raises(InvalidValueError, match="longer pause"):
            retry_after_s(value, 1.0)


@pytest.mark.parametrize("status", [500, 502, 503, 408])
def test_server_errors_pass_by_themselves_or_end_in_words(chat, tmp_path, status):
    broken = (status, {}, b"oops")
    chat.reply = said(broken, broken, OK)
    client = make(tmp_path)
    assert ask(client) == "rain" and client.counts.retried == 2 and client.counts.reasked == 0
    chat.reply = lambda number, question, handler: broken
    with pytest.raises(InvalidValueError, match=rf"OPENAI_BASE_URL.*HTTP {status}.*after 4 tries.*caption\.language_model=grammar"):
        ask(make(tmp_path), seed=1)


def test_time_outs_are_tried_again_also_when_bytes_drip(chat, tmp_path):
    def silent(number, question, handler):
        if number == 0:
            time.sleep(1.0)
        if number == 1:  # a byte now and then never trips a limit per read
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            for _ in range(20):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.1)
        return OK

    chat.reply = silent
    client, started = make(tmp_path, timeout_s=0.4), time.monotonic()
    assert ask(client) == "rain" and client.counts.requests == 3 and client.counts.retried == 2
    assert time.monotonic() - started < 4
    chat.reply = lambda number, question, handler: time.sleep(0.6) or OK
    with pytest.raises(InvalidValueError, match=r"no answer within 0\.2 s"):
        ask(make(tmp_path, timeout_s=0.2, retries=1), seed=1)


def test_refusals_are_not_repeated_and_name_the_variable(chat, tmp_path):
    for status, variable in ((401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "caption.model")):
        before = chat.requests
        chat.reply = lambda number, question, handler, status=status: (status, {}, {"error": {"message": f"bad key {KEY} or model"}})
        with pytest.raises(InvalidValueError, match=variable) as caught:
            ask(make(tmp_path))
        assert chat.requests == before + 1
        shown = "".join(traceback.format_exception(caught.value))
        assert KEY not in shown and "secret removed" in shown
    chat.reply = said((429, {}, {"error": {"code": "insufficient_quota", "message": "pay"}}))
    with pytest.raises(InvalidValueError, match="pay"):
        ask(make(tmp_path))


def test_a_server_without_json_schema_gets_a_plainer_form_and_is_remembered(chat, tmp_path):
    def old(number, question, handler):
        form = question.get("response_format", {}).get("type", "text")
        return OK if form == "text" else (400, {}, {"error": {"message": f"{form} is unknown"}})

    chat.reply = old
    lines = []
    client = make(tmp_path, log=lines.append)
    assert ask(client) == "rain" and chat.requests == 3 and len(lines) == 1
    assert ask(client, seed=1) == "rain" and chat.requests == 4
    chat.reply = lambda number, question, handler: (400, {}, {"error": {"message": "the context is too long"}})
    with pytest.raises(InvalidValueError, match="context is too long"):
        ask(client, seed=2)


def test_the_newer_name_of_the_token_limit_is_learnt(chat, tmp_path):
    chat.reply = lambda number, question, handler: (
        OK if "max_completion_tokens" in question else (400, {}, {"error": {"message": "use max_completion_tokens"}})
    )
    client = make(tmp_path, retries=0)
    assert ask(client) == "rain" and chat.requests == 2
    assert "response_format" in chat.questions[1] and "max_tokens" not in chat.questions[1]


def test_a_content_filter_is_an_unusable_answer_not_the_end(chat, tmp_path):
    chat.reply = said((400, {}, {"error": {"code": "content_filter", "message": "no"}}))
    with pytest.raises(Unusable, match="content filter"):
        ask(make(tmp_path))


def test_an_unreachable_server_names_the_variable_and_the_way_without(monkeypatch, tmp_path):
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:hunter22@127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(InvalidValueError, match=r"OPENAI_BASE_URL.*cannot be reached.*caption\.language_model=grammar") as caught:
        ask(make(tmp_path, retries=1))
    assert "hunter22" not in str(caught.value) and KEY not in str(caught.value)


def test_the_environment_is_checked_before_anything_is_sent(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InvalidValueError, match=r"OPENAI_BASE_URL.*caption\.language_model=grammar"):
        make(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", "127.0.0.1:8000")
    with pytest.raises(InvalidValueError, match="no web address"):
        make(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\nline two")
    with pytest.raises(InvalidValueError, match="OPENAI_API_KEY") as caught:
        make(tmp_path)
    assert "secret" not in str(caught.value)


def test_a_local_server_needs_no_key(chat, monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY")
    chat.reply = said(OK)
    assert ask(make(tmp_path)) == "rain"


def test_requests_per_minute_are_kept_over_threads():
    pacer, starts = Pacer(600), []
    threads = [Thread(target=lambda: (pacer.wait(), starts.append(time.monotonic()))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    starts.sort()
    assert all(later - earlier >= 0.08 for earlier, later in pairwise(starts)) and starts[-1] - starts[0] >= 0.45


def test_a_stopped_pacer_lets_nobody_through():
    pacer = Pacer(1)
    pacer.wait()
    Thread(target=lambda: (time.sleep(0.1), pacer.stop())).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        pacer.wait()
    assert time.monotonic() - started < 2

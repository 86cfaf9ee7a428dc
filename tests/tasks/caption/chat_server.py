"""A real HTTP server that speaks the chat-completions protocol, in a thread; tests script what it says."""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(content, finish="stop", prompt=100, completion=50):
    """Return the body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def good(question):
    """Answer a question of any of our prompts the way a well-behaved model does."""
    system, data = question["messages"][0]["content"], json.loads(question["messages"][1]["content"])
    # Varied by the seed that is sent along, as sampling is.
    number = question.get("seed", 0) % 1000
    label = data["label"] if isinstance(data["label"], str) else " and ".join(data["label"])
    if '"events": {' in system and "Leave out" in system:
        return {"events": [f"with motif {number}"], "scenes": [f"near place {number}"]}
    if "accepted_events" in data:
        return {"caption": f"{label} in a brand new place {number}"}
    count = int(re.search(r"Write (\d+) captions", system).group(1))
    parts = [*data.get("events", []), *data.get("scenes", []), "somewhere"]
    return {"captions": [f"{label} {parts[i % len(parts)]} version {i} of {number}" for i in range(count)]}


class ChatServer:
    """What was asked; ``reply(number, question, handler)`` returns (status, headers, body), None for a good answer."""

    def __init__(self):
        self.questions, self.headers, self.reply, self.lock = [], [], None, threading.Lock()
        self.most_at_once = self._now = 0

    @property
    def requests(self):
        return len(self.questions)

    def handle(self, handler):
        question = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self.lock:
            number = len(self.questions)
            self.questions.append(question)
            self.headers.append(dict(handler.headers))
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            said = self.reply(number, question, handler) if self.reply else None
            status, headers, body = said or (200, {}, completion(json.dumps(good(question))))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            handler.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.lock:
                self._now -= 1


@contextmanager
def serving():
    """Yield (server, its base URL)."""
    chat = ChatServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            assert self.path == "/v1/chat/completions"
            chat.handle(self)

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield chat, f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def answer(content, **more):
    """Return a reply with HTTP 200."""
    return 200, {}, completion(content if isinstance(content, str) else json.dumps(content), **more)

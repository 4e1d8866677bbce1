"""A strict scripted provider: OpenAI Chat Completions, OpenAI Responses and Anthropic Messages on loopback.

It is not an LLM: scenarios.json says what it answers. It refuses what the real APIs refuse, in their words, and keeps
every refusal, so that a run fails even where a client hides it:

    GET  /_verdict      {"violations": [...]} of the whole run
    GET  /_case/NAME    {"requests": [...], "violations": [...]} of one case
    POST /_reset        forgets everything

Usage: PROVIDER_KEY=... python3 provider   (prints its address on standard output)
"""

import json
import threading

import chat
import messages
import responses
import rules
from answering import Answering, serve
from script import SCRIPT, Refused, case_of

COUNT, MODELS = "/v1/messages/count_tokens", "/v1/models"
ROUTES = {"/v1/chat/completions": chat, "/v1/responses": responses, "/v1/messages": messages}


class Book:
    """What the provider remembers: requests and violations for the judges, stored responses for the API."""

    def __init__(self):
        self._lock = threading.Lock()
        self.clear()

    def clear(self):
        with self._lock:
            self._requests, self._violations, self.stored = [], [], {}

    def request(self, case, entry):
        with self._lock:
            self._requests.append({"case": case} | entry)

    def violation(self, case, text):
        with self._lock:
            self._violations.append({"case": case, "violation": text})

    def pages(self, path):
        """The answer to a judge's question, or None."""
        with self._lock:
            if path == "/_verdict":
                return {"violations": list(self._violations)}
            if path.startswith("/_case/"):
                case = path.removeprefix("/_case/")
                return {
                    "requests": [entry for entry in self._requests if entry["case"] == case],
                    "violations": [entry["violation"] for entry in self._violations if entry["case"] == case],
                }
        return None


class Handler(Answering):
    book = Book()

    def do_GET(self):
        if self.path.partition("?")[0] == MODELS:
            api = messages if "anthropic-version" in self.headers else chat
            self._guarded(api, None, lambda _headers: self._json(200, _models()))
            return
        page = self.book.pages(self.path)
        self._json(404 if page is None else 200, page or {"error": "no such page"})

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        if path == "/_reset":
            self.book.clear()
            self._json(200, {})
        elif path in ROUTES:
            api = ROUTES[path]
            self._guarded(api, case_of(raw.decode(errors="replace")), lambda headers: self._play(api, raw, headers))
        elif path == COUNT:
            self._guarded(messages, None, lambda headers: self._json(200, messages.count(_body(headers, raw))))
        else:
            self._json(404, {"error": {"message": f"Invalid URL (POST {path})", "type": "invalid_request_error"}})

    def _guarded(self, api, case, answer):
        """Lets `answer` answer, and answers itself what the API refuses."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        for leak in rules.leaks(headers):
            self.book.violation(case, leak)
        try:
            api.check_key(headers, self.key)
            answer(headers)
        except Refused as refused:
            if refused.status != 404:  # no such model: a caller's own mistake, which a gateway passes on
                self.book.violation(case, f"{self.path}: {refused.status} {refused.message}")
            self._json(refused.status, api.error(refused, self._request_id()), {"x-should-retry": "false"})

    def _play(self, api, raw, headers):
        body = _body(headers, raw)
        turn = api.read(body, self.book.stored)
        self.book.request(turn.case, {
            "path": self.path, "round": turn.number, "results": turn.results, "headers": headers, "body": body})
        if body.get("stream"):
            self._stream(api.frames(turn, body, self.book.stored))
        else:
            self._json(200, api.whole(turn, body, self.book.stored))


def _body(headers, raw):
    if headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Refused("Unsupported Media Type: the content-type is not application/json.", status=415)
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refused(f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(body, dict):
        raise Refused("The body is not a JSON object.")
    return body


def _models():
    models = [{"id": name, "object": "model", "type": "model", "display_name": name} for name in SCRIPT]
    return {"object": "list", "data": models, "has_more": False}


if __name__ == "__main__":
    serve(Handler)

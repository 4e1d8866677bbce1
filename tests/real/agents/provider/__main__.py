"""A scripted provider for real agents: strict about the history, tolerant of everything else that they send.

It answers as plays.json says, wherever a conversation stands: that follows from the conversation alone. It remembers
what it said, to refuse a history in which that is missing or changed, and keeps every refusal:

    GET /_case/NAME    {"requests": [...], "violations": [...], "marks": [...], "failures": 0} of one case

Usage: PROVIDER_KEY=... python3 provider   (prints its address on standard output)
"""

import json
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parent.parent.parent / "provider"))

import chat
import hear_chat
import hear_messages
import hear_responses
import messages
import responses
import rules
from answering import Answering, serve
from heard import place
from plays import PLAYS, PROMPT
from script import Refused
from turn import Issued, aside, turn_of
from wire import frame

MODELS, COUNT = "/v1/models", "/v1/messages/count_tokens"
FAILURE = Refused("The model is overloaded.", status=500, kind="api_error", code="server_error")


@dataclass(frozen=True)
class Api:
    """One API: how a request is heard, and how an answer looks."""

    dialect: object
    ear: object
    call_prefix: str

    def issue(self, turn, body):
        """The answer as it has to come back."""
        ids = [turn.id(self.call_prefix, index) for index in range(len(turn.round.calls))]
        if self.dialect is messages:
            wire = messages.content(turn)
        elif self.dialect is chat:
            wire = hear_chat.wire(chat.message_of(turn))
        else:
            wire = hear_responses.wire(responses.items(turn, responses.ENCRYPTED in (body.get("include") or [])))
        return Issued(turn, wire, ids)

    def broken(self, turn, body):
        """A stream that begins well and ends in an error."""
        frames = list(self.dialect.frames(turn, body, None))
        yield from frames[:4]
        error = self.dialect.error(FAILURE, "req_broken")
        if self.dialect is messages:
            yield frame(error, "error")
        elif self.dialect is chat:
            yield frame(error)
        else:
            yield frame({"type": "error", "sequence_number": 4, "code": "server_error", "message": FAILURE.message,
                         "param": None}, "error")


APIS = {
    "/v1/messages": Api(messages, hear_messages, "toolu"),
    "/v1/chat/completions": Api(chat, hear_chat, "call"),
    "/v1/responses": Api(responses, hear_responses, "call"),
}


class Book:
    """What the provider remembers."""

    def __init__(self):
        self._lock = threading.Lock()
        self._requests, self._violations, self._failed = [], [], []
        self.issued = {}

    def request(self, case, entry):
        with self._lock:
            self._requests.append({"case": case} | entry)

    def violation(self, case, text):
        with self._lock:
            self._violations.append({"case": case, "violation": text})

    def issue(self, issued):
        with self._lock:
            self.issued[issued.turn.mark] = issued

    def fails(self, turn, fault):
        """Whether this answer fails: where the script says so, and the first time only."""
        place = (turn.prompt.case, turn.prompt.turn, turn.number)
        with self._lock:
            fresh = fault is not None and place not in self._failed
            if fresh:
                self._failed.append(place)
        return fresh

    def case(self, case):
        with self._lock:
            turns = [entry.turn for entry in self.issued.values() if entry.turn.prompt.case == case]
            return {
                "marks": [turn.mark for turn in turns],
                "failures": len([place for place in self._failed if place[0] == case]),
                "requests": [entry for entry in self._requests if entry["case"] == case],
                "violations": [entry["violation"] for entry in self._violations if entry["case"] == case],
            }


class Handler(Answering):
    book = Book()

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path.startswith("/_case/"):
            self._json(200, self.book.case(path.removeprefix("/_case/")))
        elif path == MODELS:
            self._json(200, {"object": "list", "data": [], "has_more": False})
        else:
            self._json(404, {"error": "no such page"})

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(raw)
        try:
            if path == COUNT:
                self._json(200, {"input_tokens": len(raw) // 4})
            elif path in APIS:
                self._guarded(APIS[path], headers, body, raw)
            else:
                self._json(404, {"error": {"message": f"Invalid URL (POST {path})", "type": "invalid_request_error"}})
        except OSError:
            self.close_connection = True  # the gateway hung up: its client was cut

    def _guarded(self, api, headers, body, raw):
        """Answers, or tells what the API refuses."""
        found = PROMPT.findall(raw.decode(errors="replace"))
        case = found[-1][1] if found else None
        for leak in rules.leaks(headers):
            self.book.violation(case, leak)
        try:
            api.dialect.check_key(headers, self.key)
            heard = api.ear.hear(body)
            asked = place(heard, self.book.issued)
            self.book.request(case, {
                "path": self.path, "at": time.time(), "headers": headers, "body": body,
                "turn": asked and asked[0].turn, "round": asked and asked[1]})
            if asked is None:
                self._aside(api, body)
            else:
                self._play(api, turn_of(heard, *asked, api.ear.thinks(body)), body)
        except Refused as refused:
            self.book.request(case, {"path": self.path, "at": time.time(), "headers": headers, "body": body})
            self.book.violation(case, f"{self.path}: {refused.status} {refused.message}")
            self._json(refused.status, api.dialect.error(refused, self._request_id()), {"x-should-retry": "false"})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.book.violation(case, f"{self.path}: not what this API takes: {error!r}")
            traceback.print_exc()
            self._json(400, api.dialect.error(Refused(repr(error)), self._request_id()), {"x-should-retry": "false"})

    def _play(self, api, turn, body):
        script = PLAYS[turn.prompt.play][turn.prompt.turn - 1][turn.number - 1]
        time.sleep(script.pause)
        failing = self.book.fails(turn, script.fault)
        if failing and (script.fault == "status" or not body.get("stream")):
            self._json(FAILURE.status, api.dialect.error(FAILURE, self._request_id()))
        elif failing:
            self._stream(api.broken(turn, body))
        else:
            self.book.issue(api.issue(turn, body))
            self._answer(api, turn, body)

    def _aside(self, api, body):
        """A side request, such as a title."""
        self._answer(api, aside(body.get("model")), body)

    def _answer(self, api, turn, body):
        body = body | ({"store": False} if api.dialect is responses else {})
        if body.get("stream"):
            self._stream(api.dialect.frames(turn, body, None))
        else:
            self._json(200, api.dialect.whole(turn, body, None))


if __name__ == "__main__":
    serve(Handler)

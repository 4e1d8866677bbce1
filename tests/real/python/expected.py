"""What a client must see of each scenario, whatever the dialect: scenarios.json cut into the client's own requests.

The gateway answers a request with one message, made of all rounds up to the one that the client has to act on. Such a
run of rounds is a `Leg` here; scenarios without client tools have one leg.
"""

import json
import os
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

_DOCUMENT = json.loads(
    (Path(__file__).parent.parent / "scenarios.json").read_text(encoding="utf-8")
    .replace("{files}", os.environ.get("REAL_FILES", "/nowhere")))
CLIENT_TOOLS = _DOCUMENT["client_tools"]
CALLERS_KEY = "the-callers-own-key"


@dataclass(frozen=True)
class Round:
    number: int
    text: str | None
    thinking: str | None
    calls: tuple[dict, ...]
    usage: dict


@dataclass(frozen=True)
class Leg:
    rounds: tuple[Round, ...]

    @property
    def first(self):
        return self.rounds[0].number

    @property
    def texts(self):
        return [entry.text for entry in self.rounds if entry.text]

    @property
    def calls(self):
        """The client's own calls, which end the leg."""
        last = self.rounds[-1]
        return [(f"r{last.number}_{index}", call) for index, call in enumerate(last.calls) if not call.get("hidden")]

    def total(self, kind):
        return sum(entry.usage[kind] for entry in self.rounds)

    @property
    def prompt_tokens(self):
        """Input as OpenAI counts it: the cached part included."""
        return sum(self.total(kind) for kind in ("input", "cache_read", "cache_write"))


@dataclass(frozen=True)
class Scenario:
    name: str
    tools: dict
    """The tools that the client brings."""
    thinking: bool
    results: list
    legs: tuple[Leg, ...]

    @property
    def model(self):
        return f"{self.name}-2026-11-01"


def scenarios(dialect):
    """The scenarios of a dialect, in the file's order."""
    return [_scenario(name, entry) for name, entry in _DOCUMENT["scenarios"].items()
            if dialect in entry.get("dialects", [dialect])]


def one_by_one(scenario):
    """The same scenario without a gateway: every tool is the client's, and every round is a leg."""
    rounds = [entry for leg in scenario.legs for entry in leg.rounds]
    names = {call["tool"] for entry in rounds for call in entry.calls}
    anything = {"description": "Answered by the test.", "schema": {"type": "object", "properties": {}}}
    return replace(scenario, tools={name: anything for name in sorted(names)},
                   legs=tuple(Leg((entry,)) for entry in rounds))


def new_case():
    """A name for one conversation, which the provider puts into all its ids."""
    return uuid.uuid4().hex[:12]


def prompt(case):
    return f"Please handle case:{case}, thank you."


def _scenario(name, entry):
    rounds = [
        Round(number, item.get("text"), item.get("thinking"), tuple(item.get("calls", ())), usage)
        for number, (item, usage) in enumerate(zip(entry["rounds"], _DOCUMENT["usage"]), 1)]
    legs, current = [], []
    for item in rounds:
        current.append(item)
        if not item.calls or any(call["tool"] in CLIENT_TOOLS for call in item.calls):
            legs.append(Leg(tuple(current)))
            current = []
    tools = CLIENT_TOOLS if entry.get("client_tools") else {}
    return Scenario(name, tools, entry.get("thinking", False), entry.get("results", []), tuple(legs))

"""What the scripted model says: scenarios.json, read once, and where in it a conversation stands.

A request's model names its scenario, and "case:<name>" in a user's text names its case. Every id that the
provider makes carries case and round, so the round of a request follows from the ids that come back in it. Nothing is
remembered for that, and any number of cases may run at once.
"""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

SCENARIOS = Path(__file__).parent.parent / "scenarios.json"


class Refused(Exception):
    """A request that the real API would answer with an error; `status` is that error's status."""

    def __init__(self, message, *, param=None, code=None, status=400, kind="invalid_request_error"):
        super().__init__(message)
        self.message, self.param, self.code, self.status, self.kind = message, param, code, status, kind


@dataclass(frozen=True)
class Call:
    tool: str
    arguments: str
    """JSON text, unless the scenario wants it broken."""


@dataclass(frozen=True)
class Round:
    text: str | None
    thinking: str | None
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Scenario:
    name: str
    rounds: tuple[Round, ...]
    until_tools_are_off: bool


@dataclass(frozen=True)
class Turn:
    """One request, understood: what to answer, and what it told the model."""

    scenario: Scenario
    case: str
    number: int
    """The round that is asked for, from 1."""
    results: list = field(default_factory=list)
    """Results of each earlier round: `{id, text, error, images}`."""

    @property
    def round(self):
        return self.scenario.rounds[self.number - 1]

    @property
    def usage(self):
        return USAGE[self.number - 1]

    @property
    def model(self):
        return f"{self.scenario.name}-2026-11-01"

    def id(self, prefix, index=None):
        """An id of this case: `prefix`, case, round and, for a call, its place in the round."""
        place = "" if index is None else f"_{index}"
        return f"{prefix}_{self.case}_r{self.number}{place}"

    def past(self, call_id):
        """The earlier turn that made this call, as its answer has to come back."""
        return Turn(self.scenario, self.case, round_of(call_id, self.case))


def turn_of(model, prompt, results, tools_are_off):
    """The turn that a request with these results asks for; `results` is a list of rounds."""
    if model not in SCRIPT:
        raise Refused(f"The model `{model}` does not exist or you do not have access to it.",
                      param="model", code="model_not_found", status=404, kind="not_found_error")
    case = case_of(prompt)
    if case is None:
        raise Refused("The script cannot tell the case: no user text says `case:<name>`.")
    scenario = SCRIPT[model]
    rounds = [round_of(result["id"], case) for group in results for result in group]
    number = 1 + max(rounds, default=0)
    if scenario.until_tools_are_off and tools_are_off:
        number = len(scenario.rounds)
    if number > len(scenario.rounds):
        raise Refused(f"The script of `{model}` ends before round {number}.")
    if number == len(scenario.rounds) and scenario.until_tools_are_off and not tools_are_off:
        raise Refused(f"`{model}` goes on until tool_choice is none; round {number} still allows tools.")
    return Turn(scenario, case, number, results)


def case_of(prompt):
    """The case that a user's text names."""
    found = re.search(r"\bcase:(\w+)", prompt or "")
    return found and found[1]


def round_of(call_id, case):
    """The round in which this provider made a call id."""
    found = re.search(rf"_{re.escape(case)}_r(\d+)_\d+$", call_id)
    if not found:
        raise Refused(f"The call id `{call_id}` was never issued in case {case}.")
    return int(found[1])


def _load():
    text = SCENARIOS.read_text(encoding="utf-8").replace("{files}", os.environ.get("REAL_FILES", "/nowhere"))
    document = json.loads(text)
    script = {}
    for name, scenario in document["scenarios"].items():
        rounds = tuple(
            Round(entry.get("text"), entry.get("thinking"), tuple(_call(call) for call in entry.get("calls", ())))
            for entry in scenario["rounds"])
        script[name] = Scenario(name, rounds, scenario.get("until_tools_are_off", False))
    return script, document["usage"]


def _call(call):
    raw = call.get("raw")
    arguments = json.dumps(call["arguments"]) if raw is None else raw
    return Call(call["tool"], arguments)


SCRIPT, USAGE = _load()

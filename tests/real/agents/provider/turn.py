"""One answer of the scripted model, in the shape that the renderers of tests/real/provider take."""

import json
import re
import secrets
from dataclasses import dataclass

from own_tools import read_call
from plays import PLAYS, Prompt
from script import Refused, USAGE

MARK = re.compile(r"_([0-9a-f]{12})_t\d+r\d+")


@dataclass(frozen=True)
class Call:
    tool: str
    arguments: str
    results: tuple
    """What its result has to hold: one of these."""


@dataclass(frozen=True)
class Round:
    text: str | None
    thinking: str | None
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Turn:
    """An answer. Its mark is in each of its ids, and no other answer has it, also not one to the same request."""

    prompt: Prompt
    number: int
    """The round within the prompt's turn, from 1."""
    mark: str
    round: Round
    hidden: bool
    model: str
    prefix: tuple
    """Everything that the model had seen, as digests: thinking is bound to it."""

    @property
    def usage(self):
        return USAGE[min(self.number, len(USAGE)) - 1]

    def id(self, prefix, index=None):
        place = "" if index is None else f"_{index}"
        return f"{prefix}_{self.mark}_t{self.prompt.turn}r{self.number}{place}"


@dataclass(frozen=True)
class Issued:
    """An answer as it went out."""

    turn: Turn
    wire: list
    """As the API has it, and as it has to come back."""
    ids: list
    """The calls' ids."""


def aside(model):
    """The answer to a side request."""
    return Turn(Prompt("aside", "aside", 0, "/"), 1, secrets.token_hex(6), Round("A quiet afternoon", None, ()), False,
                model, ())


def mark_of(value):
    """The mark in an id or a signature, or None."""
    found = MARK.search(value or "")
    return found and found[1]


def turn_of(heard, prompt, number, thinks):
    """The answer that the script has for this place."""
    rounds = PLAYS[prompt.play][prompt.turn - 1]
    script, mark = rounds[number - 1], secrets.token_hex(6)
    calls = tuple(_call(line, f"{mark}-{index}", heard.offered, prompt.work)
                  for index, line in enumerate(script.lines))
    said = Round(script.text, script.thinking if thinks else None, calls)
    return Turn(prompt, number, mark, said, script.hidden, heard.model, tuple(heard.prefix))


def _call(line, key, offered, work):
    if line.file:
        tool, arguments = read_call(offered, work, line.file)
        return Call(tool, json.dumps(arguments), (line.result, line.without or line.result))
    if line.injected not in offered:
        raise Refused(f"The script calls `{line.injected}`, which is not among the tools.")
    arguments = json.dumps(line.arguments, ensure_ascii=False).replace("{key}", key)
    result = line.result.replace("{key}", key)
    return Call(line.injected, arguments, (result, line.without or result))

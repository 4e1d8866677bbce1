"""What the scripted model says: plays.json, read once.

A play is a list of turns (one for each prompt of the user), a turn is a list of rounds (one for each answer of the
model). A prompt names its play, case, turn and the folder that the client works in, so that a request says by itself
what comes next.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

PROMPT = re.compile(r"play:([\w-]+) case:(\w+) turn:(\d+) work:([\w./-]+) end")


@dataclass(frozen=True)
class Prompt:
    play: str
    case: str
    turn: int
    work: str


@dataclass(frozen=True)
class Line:
    """A call as the script has it: of an injected tool, or of a file that the client reads with a tool of its own."""

    injected: str | None
    file: str | None
    arguments: dict
    result: str
    """What its result has to hold."""
    without: str | None
    """What it may hold instead, where the line is cut before the call runs, or before the client hears of it."""


@dataclass(frozen=True)
class Script:
    """A round as the script has it."""

    text: str | None
    thinking: str | None
    lines: tuple[Line, ...]
    fault: str | None
    """How the first answer fails: with a `status`, or in the `stream`."""
    pause: float

    @property
    def hidden(self):
        """Whether the client cannot know this round as it was."""
        return any(line.injected for line in self.lines)


def prompts_in(text):
    """The prompts that a user's text holds."""
    return [Prompt(play, case, int(turn), work) for play, case, turn, work in PROMPT.findall(text)]


def _load():
    text = (Path(__file__).parent.parent / "plays.json").read_text(encoding="utf-8")
    document = json.loads(text.replace('"{long}"', os.environ.get("AGENTS_LONG", "330")))
    lines = {name: _line(entry) for name, entry in document["calls"].items()}
    return {name: [[_script(entry, lines) for entry in turn] for turn in _turns(play)]
            for name, play in document["plays"].items()}


def _turns(play):
    """The turns of a play: a list, or one turn so many times."""
    return [play["turn"]] * play["times"] if isinstance(play, dict) else play


def _line(entry):
    return Line(entry.get("injected"), entry.get("client"), entry.get("arguments", {}), entry["result"],
                entry.get("without"))


def _script(entry, lines):
    calls = tuple(lines[name] for name in entry.get("calls", ()))
    return Script(entry.get("text"), entry.get("thinking"), calls, entry.get("fault"), entry.get("pause", 0))


PLAYS = _load()

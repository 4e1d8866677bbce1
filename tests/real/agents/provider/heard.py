"""What a request says, in words that the three APIs share, and the rules for it that they share."""

import hashlib
import json
from dataclasses import dataclass, field

from plays import PLAYS, prompts_in
from script import Refused
from turn import mark_of


@dataclass
class Answer:
    """An earlier answer of the model, as it came back."""

    text: str = ""
    wire: list = field(default_factory=list)
    """All of it, as the API has it, to be compared with what was issued."""
    calls: list = field(default_factory=list)
    """`(id, name, arguments)` of each call, with the arguments as a value."""
    thoughts: list = field(default_factory=list)
    """`(mark, value as the API has it, how many elements come before)` of each block of thinking."""

    @property
    def mark(self):
        marks = [mark_of(call) for call, _, _ in self.calls] + [mark for mark, _, _ in self.thoughts]
        return next((mark for mark in marks if mark), None)


@dataclass
class Heard:
    model: str
    offered: dict
    """The schemas of all tools, by their names."""
    said: list = field(default_factory=list)
    """A string for what the user said, and an Answer for what the model said, in order."""
    results: dict = field(default_factory=dict)
    """What each call gave, as text, by the call's id."""
    prefix: list = field(default_factory=list)
    """A digest of everything that the model sees, element by element."""
    shown: list = field(default_factory=list)
    """The start of each element, for who has to find out what differs."""

    def see(self, kind, value):
        text = json.dumps([kind, value], ensure_ascii=False, sort_keys=True)
        self.prefix.append(hashlib.sha256(text.encode()).hexdigest()[:16])
        self.shown.append(text[:400])


def place(heard, issued):
    """The prompt that is to be answered and the number of the round, after the whole history was checked.

    None if the script does not know this conversation: a client's side request.
    """
    turns = _turns(heard)
    if not turns or not heard.offered:
        return None
    prompt = turns[-1][0]
    for position, (asked, answers) in enumerate(turns):
        if (asked.case, asked.turn) != (prompt.case, position + 1):
            raise Refused(f"Turn {asked.turn} of case {asked.case} stands as number {position + 1} of {prompt.case}.")
        _check_turn(heard, asked, answers, issued, done=asked is not prompt)
    rounds = [answer for answer in turns[-1][1] if answer.mark and not _torn(answer, issued)]
    return prompt, min(1 + len(rounds), len(PLAYS[prompt.play][prompt.turn - 1]))


def _turns(heard):
    """The prompts with the answers that follow each of them; a prompt that a client repeats counts once."""
    turns = []
    for entry in heard.said:
        if isinstance(entry, Answer):
            if turns:
                turns[-1][1].append(entry)
            continue
        for prompt in prompts_in(entry):
            if all(prompt != known for known, _ in turns):
                turns.append((prompt, []))
    return turns


def _check_turn(heard, prompt, answers, issued, done):
    """Every round with a call is there, in order, as it was issued; a finished turn is there to its end."""
    numbers = []
    for answer in answers:
        _check_thoughts(heard, answer, issued)
        if not answer.mark or _torn(answer, issued):
            continue
        was = _known(answer.mark, issued).turn
        if (was.prompt.case, was.prompt.turn) != (prompt.case, prompt.turn):
            raise Refused(f"An answer of turn {was.prompt.turn} stands in turn {prompt.turn}.")
        numbers.append(was.number)
        _check_answer(heard, answer, issued[answer.mark])
    scripts = PLAYS[prompt.play][prompt.turn - 1]
    wanted = [number for number, script in enumerate(scripts, 1) if script.lines]
    with_calls = [number for number in numbers if scripts[number - 1].lines]
    if with_calls != wanted[:len(with_calls)] or (done and with_calls != wanted):
        raise Refused(f"Turn {prompt.turn} has the rounds {wanted} with calls, and {with_calls} came back.")
    if done and not any(scripts[-1].text in answer.text for answer in answers):
        raise Refused(f"The last answer of turn {prompt.turn} did not come back.")


def _torn(answer, issued):
    """Whether an answer came back without its end and without a call: the client's line was cut, and it says so.

    A client may do that; that no call of it ran can be seen from what was counted.
    """
    wire = _known(answer.mark, issued).wire
    return not answer.calls and len(answer.wire) < len(wire) and answer.wire == wire[:len(answer.wire)]


def _known(mark, issued):
    if mark not in issued:
        raise Refused(f"The model never said what is marked {mark}.")
    return issued[mark]


def _check_answer(heard, answer, was):
    turn = was.turn
    if turn.hidden and answer.wire != was.wire:
        raise Refused(f"Round {turn.number} of turn {turn.prompt.turn} came back changed: {_json(answer.wire)} is not "
                      f"{_json(was.wire)}.")
    wanted = [(id, call.tool, json.loads(call.arguments)) for id, call in zip(was.ids, turn.round.calls)]
    if answer.calls != wanted:
        raise Refused(f"The calls of round {turn.number} came back changed: {answer.calls} is not {wanted}.")
    for id, call in zip(was.ids, turn.round.calls):
        result = heard.results.get(id)
        if result is None or not any(wanted in result for wanted in call.results):
            raise Refused(f"The result of `{call.tool}` does not hold {call.results[0]!r}: {result!r}.")


def _check_thoughts(heard, answer, issued):
    """Thinking is what was thought, and everything before it is what it was then."""
    for mark, value, before in answer.thoughts:
        was = _known(mark, issued)
        if value not in was.wire:
            raise Refused(f"A thought came back changed: {_json(value)} is not in {_json(was.wire)}.")
        then = was.turn.prefix
        if before != len(then) or tuple(heard.prefix[:before]) != then:
            pairs = enumerate(zip(heard.prefix[:before], then))
            index = next((index for index, (new, old) in pairs if new != old), min(before, len(then)))
            raise Refused("Invalid `signature` in `thinking` block. The block is bound to a different conversation: "
                          f"{before} elements come before it, {len(then)} did then, and number {index} differs: "
                          f"{heard.shown[index] if index < len(heard.shown) else 'it is not there'}")


def _json(value):
    return json.dumps(value, ensure_ascii=False)

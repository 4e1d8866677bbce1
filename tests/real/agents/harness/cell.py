"""One cell of the table: a client plays a play through the gateway, and everyone is asked how it went."""

import json
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field

from capture import capture
from line import Line
from plays import PLAYS
from seat import Seat

OURS = re.compile(rb'"name": ?"(counter|everything)__')


@dataclass
class Outcome:
    """What was wrong, in words for the table; nothing if it passed."""

    case: str
    wrong: list = field(default_factory=list)
    details: list = field(default_factory=list)
    exchanges: list = field(default_factory=list)

    def miss(self, words, detail=""):
        self.wrong.append(words)
        self.details.append(f"{words}: {detail}" if detail else words)


def play(world, client, column, cut=None):
    """Runs the client to the end of the play and judges it."""
    case = f"c{secrets.token_hex(5)}"
    outcome = Outcome(case)
    line = Line(world.gateway, cut or column.cutter(lambda: world.counted(case)))
    seat = Seat.at(world.scratch, line.url)
    try:
        runs = _run(client, column, seat, case)
        _judge_runs(outcome, column, runs)
        _judge_line(outcome, column, line)
        _judge_world(outcome, column, world)
    finally:
        line.close()
        seat.clear()
    outcome.exchanges = line.exchanges
    capture(client, column, outcome)
    return outcome


def _run(client, column, seat, case):
    prompts = [f"play:{column.play} case:{case} turn:{turn} work:{seat.work} end"
               for turn in range(1, 1 + len(PLAYS[column.play]))]
    if client.at_once:
        return [client.ask(seat, prompts, column.patience)]
    runs = []
    for number in range(1, 1 + len(prompts)):
        runs.append(client.ask(seat, prompts[:number], column.patience))
        if runs[-1].code:
            break
    return runs


def _judge_runs(outcome, column, runs):
    """Each prompt got the script's last word of its turn."""
    for run in runs:
        if run.code:
            outcome.miss(f"the client ended with {run.code}", run.output[-1500:] + run.errors[-1500:])
    output = "\n".join(run.output for run in runs)
    for number, rounds in enumerate(PLAYS[column.play], 1):
        if rounds[-1].text not in output:
            outcome.miss(f"no answer to prompt {number}", output[-1500:])


def _judge_line(outcome, column, line):
    if column.cut and not line.was_cut:
        outcome.miss("the line was never cut")
    if any(OURS.search(exchange["answer"]) for exchange in line.exchanges):
        outcome.miss("the client saw a call that is not its own")


def _judge_world(outcome, column, world):
    """The provider refused nothing and came to the end, and everything was counted once."""
    account = world.case(outcome.case)
    scripts = [script for rounds in PLAYS[column.play] for script in rounds]
    for violation, times in Counter(account["violations"]).items():
        outcome.details.append(f"the provider refused {times} times: {violation[:3000]}")
    if account["violations"]:
        outcome.wrong.append("the provider refused a request")
    if account["failures"] != len([script for script in scripts if script.fault]):
        outcome.miss(f"the provider failed {account['failures']} times")
    wanted = len([line for script in scripts for line in script.lines if "{key}" in line.result])
    wanted -= _told_not_run(account, scripts)
    counted = world.counted(outcome.case)
    if sorted(counted.values()) != [1] * wanted:
        outcome.miss(f"counted {sum(counted.values())} times instead of {wanted}", str(dict(counted)))


def _told_not_run(account, scripts):
    """How many calls the model was told not to have run, where the script takes that."""
    words = {line.without for script in scripts for line in script.lines if line.injected and line.without}
    history = json.dumps(account["requests"][-1]["body"]) if account["requests"] else ""
    return sum(history.count(word) for word in words)

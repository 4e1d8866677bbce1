"""The prefix that consecutive requests of a ten-turn conversation share, which is what a provider's cache lives on.

With cache markers removed, what goes up may never share less than what the client sent.
"""

import json
import os
import sys

import cell
from clients import CLIENTS
from column import TEN

AGENTS = ("Claude Code", "Codex")


def run(world):
    """Compares the prefixes of both sides; tells whether the gateway's are never shorter."""
    return all([_run_client(world, client) for client in CLIENTS if client.name in AGENTS])


def _run_client(world, client):
    outcome = cell.play(world, client, TEN)
    sent = [_text(json.loads(exchange["body"])) for exchange in outcome.exchanges if exchange["method"] == "POST"]
    went_up = [(request["round"], _text(request["body"])) for request in world.case(outcome.case)["requests"]]
    own = [_shared(*pair) for pair in zip(sent, sent[1:])]
    shared = [_shared(earlier, later) for (_, earlier), (_, later) in zip(went_up, went_up[1:])]
    for number, wanted in enumerate(_wanted(sent, own, went_up)):
        if shared[number] < wanted:
            outcome.miss(f"request {number + 2} shares {shared[number]} characters with the one before, of {wanted}",
                         _differ(went_up[number][1], went_up[number + 1][1]))
    print(f"{client.name}, {len(sent)} requests in ten turns, {len(went_up)} upstream: the client's share "
          f"{min(own)} to {max(own)} characters, the provider's {min(shared)} to {max(shared)}",
          *outcome.details, sep="\n    ", file=sys.stderr, flush=True)
    return not outcome.wrong


def _wanted(sent, own, went_up):
    """What each upstream request has to share with the one before, by which request of the client's it serves."""
    index = -1
    for number, (round_number, _) in enumerate(went_up):
        goes_on = number and _follows_hidden_round(round_number)
        index += not goes_on
        if number:
            yield len(_open(sent[index])) if goes_on else own[index - 1]


def _follows_hidden_round(round_number):
    """In this play, round 2 follows a round that the client does not see."""
    return round_number == 2


def _text(body):
    """What the model sees, in the order in which it sees it."""
    instructions = body.get("system") or body.get("instructions")
    history = body.get("messages") or body.get("input")
    return json.dumps(_bare([body.get("tools"), instructions, history]), ensure_ascii=False)


def _bare(value):
    """Without cache markers; a text and a list of one text block are the same."""
    if isinstance(value, dict):
        bare = {key: _bare(inner) for key, inner in value.items() if key != "cache_control"}
        if isinstance(bare.get("content"), str) and "role" in bare:
            bare["content"] = [{"type": "text", "text": bare["content"]}]
        return bare
    return [_bare(inner) for inner in value] if isinstance(value, list) else value


def _open(text):
    """Without the brackets at its end, where a later request goes on."""
    return text.rstrip("]}")


def _shared(left, right):
    return len(os.path.commonprefix([left, right]))


def _differ(left, right):
    at = _shared(left, right)
    return f"{left[max(at - 80, 0):at + 120]!r} and {right[max(at - 80, 0):at + 120]!r}"

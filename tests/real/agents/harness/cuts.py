"""The counter under agents whose line is cut at random points: it says once per call that the model made."""

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cell
from clients import CLIENTS
from column import CUTS
from cut import AtByte, AtTime

POINTS = 20
AGENTS = ("Claude Code", "Codex")
TOGETHER = 4


def run(world, seed=None):
    """Cuts each agent's line at 20 points, in bytes and in time by turns; tells whether all was counted once."""
    seed = random.randrange(10**6) if seed is None else seed
    print(f"cuts: seed {seed}", file=sys.stderr)
    good = True
    for client in [client for client in CLIENTS if client.name in AGENTS]:
        good &= _run_client(world, client, random.Random(f"{seed} {client.name}"))
    return good


def _run_client(world, client, chance):
    whole = cell.play(world, client, CUTS)
    if whole.wrong:
        print(f"{client.name}, not cut at all: ", *whole.details, sep="\n    ", file=sys.stderr)
        return False
    size = sum(len(exchange["answer"]) for exchange in whole.exchanges)
    length = max(exchange["until"] for exchange in whole.exchanges) - whole.exchanges[0]["at"]
    points = [("byte", chance.randrange(size)) if number % 2 else ("second", round(chance.uniform(0, length), 2))
              for number in range(POINTS)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        return all(list(pool.map(lambda point: _cut_at(world, client, *point), points)))


def _cut_at(world, client, kind, point):
    began = time.monotonic()
    outcome = cell.play(world, client, CUTS, AtByte(point) if kind == "byte" else AtTime(point))
    done = any(exchange["cut"] for exchange in outcome.exchanges)
    words = "; ".join(outcome.wrong) or f"each call counted once{'' if done else '; too late to cut'}"
    print(f"{client.name}, cut at {kind} {point}: {words} ({time.monotonic() - began:.0f} s, case {outcome.case})",
          *outcome.details, sep="\n    ", file=sys.stderr, flush=True)
    return not outcome.wrong

"""A tool that runs for 330 s under every client whose patience is known to end after 300 s of silence."""

import sys
from concurrent.futures import ThreadPoolExecutor

import cell
from clients import CLIENTS, SDKS
from column import LONG

AGENTS = ("Claude Code", "Codex", "opencode")


def run(world):
    """Lets all of them wait at the same time; tells whether all lived through it."""
    clients = [client for client in CLIENTS if client.name in AGENTS] + SDKS
    with ThreadPoolExecutor(len(clients)) as pool:
        return all(list(pool.map(lambda client: _play(world, client), clients)))


def _play(world, client):
    outcome = cell.play(world, client, LONG)
    asked = len([exchange for exchange in outcome.exchanges if exchange["method"] == "POST"])
    if asked > 1:
        outcome.miss(f"asked {asked} times")
    print(f"{client.name} ({client.api}), {LONG.title}: {'; '.join(outcome.wrong) or 'lived through it'}",
          *outcome.details, sep="\n    ", file=sys.stderr, flush=True)
    return not outcome.wrong

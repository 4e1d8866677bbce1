"""What these programs have in common: their one tool, and that they try a turn again when it failed."""

import asyncio
import sys
from pathlib import Path

TRIES = 3


def lookup(path: str) -> str:
    """Reads a file on the client's side."""
    return Path(path).read_text(encoding="utf-8")


def ask_all(start):
    """Asks prompt by prompt, as applications do: `start(gateway, key)` gives an `ask(prompt)` that keeps the history."""
    gateway, key, *prompts = sys.argv[1:]
    asyncio.run(_ask_all(start(gateway, key), prompts))


async def _ask_all(ask, prompts):
    for prompt in prompts:
        for left in reversed(range(TRIES)):
            try:
                print(await ask(prompt), flush=True)
                break
            except Exception as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                if not left:
                    raise
                await asyncio.sleep(0.5)

"""The table of clients and columns, compared with the limits that are documented and with the README."""

import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cell
from clients import CLIENTS
from column import COLUMNS

HERE = Path(__file__).parent.parent
README = HERE.parent.parent.parent / "README.md"
BEGIN, END = "<!-- works-with: printed by tests/real/agents/run -->", "<!-- works-with: end -->"
TOGETHER = 4
LIMITS = json.loads((HERE / "limits.json").read_text(encoding="utf-8"))
"""For a client and a column: `fails`, a pattern of what goes wrong, and `limit`, the words for it."""


def run(world, chosen, check_readme):
    """Plays the chosen cells, prints them, and tells whether everything is as documented."""
    cells = [(client, column) for client in CLIENTS for column in COLUMNS if _is_chosen(client, column, chosen)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        results = dict(zip(cells, pool.map(lambda chosen: _play(world, *chosen), cells)))
    printed = _markdown(results)
    print(printed, flush=True)
    good = all(expected for _, expected in results.values())
    if check_readme and f"{BEGIN}\n\n{printed}\n\n{END}" not in README.read_text(encoding="utf-8"):
        print(f"README.md: the table between {BEGIN} and {END} is not this one.", file=sys.stderr)
        good = False
    return good


def row(client):
    return f"{client.name} {client.version} ({client.api})"


def _is_chosen(client, column, chosen):
    names = [name.partition(":")[::2] for name in chosen] or [("", "")]
    slug = re.sub(r"\W+", "-", f"{client.name} {client.api}".lower())
    return any(slug.startswith(who) and what in ("", column.name) for who, what in names)


def _play(world, client, column):
    """The cell's text, and whether it is what is documented."""
    began = time.monotonic()
    outcome = cell.play(world, client, column)
    limit = LIMITS.get(f"{client.name} ({client.api})", {}).get(column.name)
    wrong = "; ".join(outcome.wrong)
    expected = bool(re.search(limit["fails"], wrong)) if limit else not wrong
    if expected:
        text = limit["limit"] if limit else "✓"
    else:
        text = f"✗ {wrong}" if wrong else f"✗ passed, but it is documented that: {limit['limit']}"
    print(f"{row(client)}, {column.title}: {text} ({time.monotonic() - began:.0f} s, case {outcome.case})",
          *([] if expected else outcome.details), sep="\n    ", file=sys.stderr, flush=True)
    return text, expected


def _markdown(results):
    clients = list(dict.fromkeys(client for client, _ in results))
    columns = [column for column in COLUMNS if any(column is played for _, played in results)]
    lines = [["client", *(column.title for column in columns)], ["---"] * (1 + len(columns))]
    lines += [[row(client), *(results.get((client, column), ("",))[0] for column in columns)] for client in clients]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

"""Keeps what passed on a line, a file for each exchange, where someone asks for it."""

import json
import os
import re
from pathlib import Path


def capture(client, column, outcome):
    """Writes the exchanges of a run below $AGENTS_CAPTURES."""
    if "AGENTS_CAPTURES" not in os.environ:
        return
    name = re.sub(r"\W+", "-", f"{client.name} {client.api} {column.name}".lower())
    folder = Path(os.environ["AGENTS_CAPTURES"]) / name / outcome.case
    folder.mkdir(parents=True, exist_ok=True)
    for number, exchange in enumerate(outcome.exchanges, 1):
        readable = exchange | {"body": _body(exchange["body"]), "answer": exchange["answer"].decode(errors="replace")}
        text = json.dumps(readable, ensure_ascii=False, indent=1)
        (folder / f"{number:02}.json").write_text(text, encoding="utf-8")


def _body(raw):
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")

"""Server-sent events in real HTTP/1.1 chunks, cut where a careless reader breaks."""

import itertools
import json


def frame(data, event=None):
    """One server-sent event; `data` is a value, or a string to be sent as it is."""
    body = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {body}\n\n".encode()


def pieces(text):
    """Text in uneven pieces, as a model's tokens are; JSON text is also cut inside its escapes."""
    sizes = itertools.cycle((1, 4, 2, 7, 3, 5))
    start = 0
    while start < len(text):
        size = next(sizes)
        yield text[start:start + size]
        start += size


def chunks(frames):
    """The same bytes in chunks that respect neither frames nor characters."""
    sizes = itertools.cycle((61, 7, 233, 1, 127, 19))
    waiting = b""
    size = next(sizes)
    for piece in frames:
        waiting += piece
        while len(waiting) >= size:
            yield waiting[:size]
            waiting, size = waiting[size:], next(sizes)
    if waiting:
        yield waiting

"""Reads a request of OpenAI Responses, as tolerant of fields and as strict about the history as the API."""

import json

from heard import Answer, Heard
from script import Refused
from turn import mark_of


def hear(body):
    heard = Heard(body.get("model"), dict(_named(body.get("tools") or [])))
    for tool in body.get("tools") or []:
        heard.see("tool", tool)
    heard.see("instructions", body.get("instructions"))
    answers, open_calls, ids = {}, [], set()
    for index, item in enumerate(_items(body)):
        if item.get("id") and item["id"] in ids:
            raise Refused(f"Duplicate item found with id {item['id']}.")
        ids.add(item.get("id"))
        _item(heard, answers, open_calls, item, index)
        heard.see("item", _lasting(item))
    if open_calls:
        raise Refused(f"No tool output found for function call {open_calls[0]}.")
    return heard


def thinks(body):
    return bool(body.get("reasoning")) or "reasoning.encrypted_content" in (body.get("include") or [])


def _items(body):
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
    return [{"type": "message"} | item for item in items]


def _named(tools):
    for tool in tools:
        if tool["type"] == "namespace":
            yield from _named(tool["tools"])
        else:
            yield tool.get("name", tool["type"]), tool.get("parameters") or {}


def _lasting(item):
    """What of an item is part of the conversation: not whether it has an id of its own, and no state."""
    return {key: value for key, value in item.items() if key not in ("id", "status") and value is not None}


def _item(heard, answers, open_calls, item, index):
    kind = item["type"]
    if kind == "mcp_call":
        raise Refused(f"input[{index}]: no item of a hosted MCP server belongs here.")
    if kind == "function_call_output":
        if item["call_id"] not in open_calls:
            raise Refused(f"No tool call found for function call output with call_id {item['call_id']}.")
        open_calls.remove(item["call_id"])
        heard.results[item["call_id"]] = _text(item["output"])
    elif kind == "message" and item["role"] == "user":
        heard.said.append(_text(item["content"]))
    elif kind in ("function_call", "reasoning") or (kind == "message" and item["role"] == "assistant"):
        _part(heard, answers, item)
        if kind == "function_call":
            open_calls.append(item["call_id"])


def _part(heard, answers, item):
    """Adds an item to the answer that it is a part of: the items of one answer need not stand together."""
    mark = mark_of(item.get("call_id")) or mark_of(item.get("id")) or mark_of(item.get("encrypted_content"))
    answer = answers.get(mark) if mark else None
    if answer is None:
        answer = Answer()
        heard.said.append(answer)
        if mark:
            answers[mark] = answer
    if item["type"] == "message":
        answer.text += _text(item["content"])
    elif item["type"] == "function_call":
        answer.calls.append((item["call_id"], item["name"], json.loads(item["arguments"])))
    else:
        answer.thoughts.append((mark, _plain(item), len(heard.prefix)))
    answer.wire.append(_plain(item))


def _text(value):
    return value if isinstance(value, str) else "\n".join(part.get("text", "") for part in value)


def _plain(item):
    """An item without what the API ignores when it comes back."""
    kept = {key: value for key, value in _lasting(item).items() if key not in ("phase", "content")}
    if item["type"] == "message":
        kept["text"] = _text(item["content"])
    return kept


def wire(items):
    return [_plain(item) for item in items]

"""Reads a request of OpenAI Chat Completions, as tolerant of fields and as strict about the history as the API."""

import json

from heard import Answer, Heard
from script import Refused


def hear(body):
    tools = body.get("tools") or []
    functions = [tool[tool["type"]] for tool in tools]
    heard = Heard(body.get("model"), {tool["name"]: tool.get("parameters", {}) for tool in functions})
    for tool in tools:
        heard.see("tool", tool)
    open_calls, seen = [], set()
    for index, message in enumerate(body.get("messages") or []):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                raise Refused(f"messages[{index}]: messages with role 'tool' must be a response to a preceeding "
                              f"message with 'tool_calls'. ({message['tool_call_id']})")
            open_calls.remove(message["tool_call_id"])
            heard.results[message["tool_call_id"]] = _text(message)
        else:
            _none_open(open_calls)
            open_calls = _speech(heard, message, index)
            if len(set(open_calls)) < len(open_calls) or seen & set(open_calls):
                raise Refused(f"messages[{index}]: duplicate value for 'tool_call_id'.")
            seen |= set(open_calls)
        heard.see("message", message)
    _none_open(open_calls)
    return heard


def thinks(_body):
    return False


def _none_open(open_calls):
    if open_calls:
        raise Refused("An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                      "'tool_call_id'. The following tool_call_ids did not have response messages: "
                      f"{', '.join(open_calls)}")


def _text(message):
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def _speech(heard, message, index):
    """Notes what was said, and tells which calls it makes."""
    if message["role"] == "user":
        heard.said.append(_text(message))
    if message["role"] != "assistant":
        return []
    calls = message.get("tool_calls") or []
    if not calls and not _text(message):
        raise Refused(f"messages[{index}]: an assistant message needs content or tool calls.")
    answer = Answer(_text(message), [_plain(message)])
    answer.calls = [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
                    for call in calls]
    heard.said.append(answer)
    return [call["id"] for call in calls]


def _plain(message):
    """An assistant message without what says nothing."""
    return {key: value for key, value in message.items() if value not in (None, "", [])}


def wire(message):
    return [_plain(message)]

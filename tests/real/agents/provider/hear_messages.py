"""Reads a request of Anthropic Messages, as tolerant of fields and as strict about the history as the API."""

import messages as strict
from heard import Answer, Heard
from script import Refused
from turn import mark_of

BILLING = "x-anthropic-billing-header"
"""How a block of Claude Code's begins that the API takes out before anything else."""


def hear(body):
    heard = Heard(body.get("model"), {tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools") or []})
    for tool in body.get("tools") or []:
        heard.see("tool", _bare(tool))
    for block in _blocks(body.get("system") or []):
        if not block["text"].startswith(BILLING):
            heard.see("system", _bare(block))
    history = _joined(body.get("messages") or [])
    strict.pair_results(history)
    for role, blocks in history:
        if role == "assistant":
            heard.said.append(_answer(heard, blocks))
        else:
            heard.said.append("\n".join(block["text"] for block in blocks if block["type"] == "text"))
            _results(heard, blocks)
            for block in blocks:
                heard.see(role, block)
    return heard


def thinks(body):
    return (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")


def _blocks(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _bare(block):
    return {key: value for key, value in block.items() if key != "cache_control"}


def _joined(messages):
    """The history without cache markers; what one role says in a row is one message, as the API takes it."""
    history = []
    for index, message in enumerate(messages):
        role = "user" if message["role"] == "system" else message["role"]
        blocks = [_bare(block) for block in _blocks(message["content"])]
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            raise Refused(f"messages.{index}: text content blocks must be non-empty")
        if any(block["type"].startswith("mcp_") for block in blocks):
            raise Refused(f"messages.{index}: no block of a hosted MCP server belongs here")
        if history and history[-1][0] == role:
            history[-1][1].extend(blocks)
        else:
            history.append((role, blocks))
    if not history or history[0][0] != "user":
        raise Refused('messages: first message must use the "user" role')
    return history


def _answer(heard, blocks):
    answer = Answer(wire=blocks)
    before = len(heard.prefix)
    for block in blocks:
        if block["type"] == "text":
            answer.text += block["text"]
        elif block["type"] == "tool_use":
            answer.calls.append((block["id"], block["name"], block["input"]))
        elif block["type"] == "thinking":
            answer.thoughts.append((mark_of(block.get("signature")), block, before))
        heard.see("assistant", block)
    return answer


def _results(heard, blocks):
    for block in blocks:
        if block["type"] == "tool_result":
            parts = _blocks(block.get("content") or [])
            text = "\n".join(part["text"] for part in parts if part["type"] == "text")
            heard.results[block["tool_use_id"]] = text

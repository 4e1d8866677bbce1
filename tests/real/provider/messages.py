"""Anthropic Messages: what it accepts and how it answers."""

import json

import rules
from script import Refused, case_of, turn_of
from wire import frame, pieces

FIELDS = {
    "model", "max_tokens", "messages", "cache_control", "container", "context_management", "diagnostics",
    "inference_geo", "metadata", "output_config", "output_format", "service_tier", "speed", "stop_sequences", "stream",
    "system", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
}
TOOL_FIELDS = {
    "name", "description", "input_schema", "type", "cache_control", "strict", "defer_loading", "eager_input_streaming",
    "input_examples", "allowed_callers",
}
EXTRA = "{}: Extra inputs are not permitted"


def check_key(headers, key):
    given = [headers[name] for name in ("x-api-key", "authorization") if name in headers]
    if given not in ([key], [f"Bearer {key}"]):
        raise Refused("invalid x-api-key", status=401, kind="authentication_error")
    if not headers.get("anthropic-version"):
        raise Refused("anthropic-version: header is required")


def read(body, _memory):
    """Checks a request as the API does and tells which turn it asks for."""
    rules.fields(body, FIELDS, "", EXTRA)
    if not isinstance(body.get("max_tokens"), int):
        raise Refused("max_tokens: Field required")
    names = _tools(body)
    choice = _tool_choice(body, names)
    history = _messages(body)
    turn = turn_of(body.get("model"), *_since_prompt(history), choice == "none")
    _check_issued(turn, history, bool(body.get("thinking")))
    if choice != "none":
        rules.known_tools(turn, names)
    return turn


def count(body):
    """The answer of `count_tokens`: a figure that grows with what was sent."""
    _tools(body)
    _messages(body)
    return {"input_tokens": len(json.dumps(body)) // 4}


def _tools(body):
    tools = rules.array(body.get("tools", []), "tools")
    for index, tool in enumerate(tools):
        rules.fields(tool, TOOL_FIELDS, f"tools.{index}", EXTRA)
        if tool.get("type", "custom") != "custom":
            raise Refused(f"tools.{index}.type: this provider runs no hosted tools")
        rules.schema(tool.get("input_schema"), f"tools.{index}.custom.input_schema")
    names = [tool.get("name") for tool in tools]
    rules.tool_names(names, 128)
    return names


def _tool_choice(body, names):
    choice = body.get("tool_choice")
    if choice is None:
        return "auto"
    rules.fields(choice, {"type", "name", "disable_parallel_tool_use"}, "tool_choice", EXTRA)
    if choice.get("type") not in ("auto", "any", "tool", "none"):
        raise Refused("tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'")
    if choice["type"] == "none" and "disable_parallel_tool_use" in choice:
        raise Refused("tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted")
    if not names:
        raise Refused("tool_choice: may only be specified while providing tools")
    if choice["type"] == "tool" and choice.get("name") not in names:
        raise Refused(f"tool_choice: Tool '{choice.get('name')}' not found in provided tools")
    return choice["type"]


def _messages(body):
    """The history with string contents made into blocks; each block is checked on its own."""
    history = []
    for index, message in enumerate(rules.array(body.get("messages"), "messages")):
        rules.fields(message, {"role", "content"}, f"messages.{index}", EXTRA)
        if message.get("role") not in ("user", "assistant"):
            raise Refused(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for place, block in enumerate(rules.array(blocks, f"messages.{index}.content")):
            _block(block, message["role"], f"messages.{index}.content.{place}")
        if not blocks:
            raise Refused(f"messages.{index}: all messages must have non-empty content")
        history.append((message["role"], blocks))
    if not history or history[0][0] != "user":
        raise Refused("messages: first message must use the \"user\" role")
    pair_results(history)
    return history


def _block(block, role, path):
    kind = block.get("type")
    allowed = {
        ("user", "text"): {"text", "citations"}, ("assistant", "text"): {"text", "citations"},
        ("user", "image"): {"source"}, ("user", "document"): {"source", "title", "context", "citations"},
        ("user", "tool_result"): {"tool_use_id", "content", "is_error"},
        ("assistant", "tool_use"): {"id", "name", "input", "caller", "toolset_name"},
        ("assistant", "thinking"): {"thinking", "signature"}, ("assistant", "redacted_thinking"): {"data"},
    }.get((role, kind))
    if allowed is None:
        raise Refused(f"{path}: Input tag '{kind}' is not expected in a message of the role '{role}'")
    rules.fields(block, allowed | {"type", "cache_control"}, f"{path}.{kind}", EXTRA)
    if kind == "text" and not rules.text(block.get("text"), f"{path}.text").strip():
        raise Refused(f"{path}: text content blocks must be non-empty")
    if kind == "image":
        _image(block, path)
    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        raise Refused(f"{path}.tool_use.input: Input should be a valid dictionary")
    if kind == "tool_result" and isinstance(block.get("content"), list):
        for place, inner in enumerate(block["content"]):
            if inner.get("type") not in ("text", "image", "document", "search_result", "tool_reference"):
                raise Refused(f"{path}.tool_result.content.{place}: Input tag '{inner.get('type')}' is not expected")
            if inner["type"] in ("text", "image"):
                _block(inner, "user", f"{path}.tool_result.content.{place}")


def _image(block, path):
    source = block.get("source", {})
    if source.get("type") == "base64":
        if source.get("media_type") not in ("image/jpeg", "image/png", "image/gif", "image/webp"):
            raise Refused(f"{path}.source.base64.media_type: Input should be an image type")
        rules.text(source.get("data"), f"{path}.source.base64.data")
    elif source.get("type") not in ("url", "file"):
        raise Refused(f"{path}.source: Input tag is not expected")


def pair_results(history):
    """Each call has one result, in the message right after it, before anything else there."""
    seen = set()
    for index, (role, blocks) in enumerate(history):
        if role == "user":
            before = history[index - 1][1] if index else []
            _results_belong(blocks, {block["id"] for block in before if block["type"] == "tool_use"}, index)
            continue
        calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if len(set(calls)) != len(calls) or seen & set(calls):
            raise Refused(f"messages.{index}: `tool_use` ids must be unique")
        seen |= set(calls)
        following = history[index + 1][1] if index + 1 < len(history) else []
        answered = {block.get("tool_use_id") for block in following}
        missing = [call for call in calls if call not in answered]
        if missing:
            raise Refused(f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately "
                          f"after: {', '.join(missing)}. Each `tool_use` block must have a corresponding "
                          "`tool_result` block in the next message.")


def _results_belong(blocks, calls, index):
    seen, other = set(), False
    for place, block in enumerate(blocks):
        if block["type"] != "tool_result":
            other = True
            continue
        call = block.get("tool_use_id")
        if call not in calls:
            raise Refused(f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                          f"{call}. Each `tool_result` block must have a corresponding `tool_use` block in the "
                          "previous message.")
        if call in seen:
            raise Refused(f"messages.{index}.content.{place}: each tool_use must have a single result. Found multiple "
                          f"`tool_result` blocks with id: {call}")
        if other:
            raise Refused(f"messages.{index}.content.{place}: `tool_result` blocks must come first in a user message")
        seen.add(call)


def _since_prompt(history):
    """The last user text that names a case, and the results after it."""
    prompt, results = None, []
    for role, blocks in history:
        if role != "user":
            continue
        for block in blocks:
            if block["type"] == "text" and case_of(block["text"]):
                prompt, results = block["text"], []
        group = [_result(block) for block in blocks if block["type"] == "tool_result"]
        if group:
            results.append(group)
    return prompt, results


def _result(block):
    content = block.get("content", [])
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {
        "id": block["tool_use_id"],
        "text": "\n".join(part["text"] for part in parts if part["type"] == "text"),
        "error": bool(block.get("is_error")),
        "images": [part["source"].get("media_type") for part in parts if part["type"] == "image"],
    }


def _check_issued(turn, history, thinking_on):
    """Assistant turns with calls come back as they were issued, thinking and signatures included."""
    for index, (role, blocks) in enumerate(history):
        calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if role != "assistant" or not calls or f"_{turn.case}_" not in calls[0]:
            continue
        past = turn.past(calls[0])
        if past.round.thinking and not thinking_on:
            raise Refused(f"messages.{index}: thinking blocks came back but `thinking` is not enabled")
        plain = [{key: value for key, value in block.items() if key != "cache_control"} for block in blocks]
        rules.same(plain, content(past), f"messages.{index}.content")


def content(turn):
    """The blocks of a round's answer."""
    blocks = []
    if turn.round.thinking:
        blocks.append({"type": "thinking", "thinking": turn.round.thinking, "signature": turn.id("sig") + "/Aa+=="})
    if turn.round.text:
        blocks.append({"type": "text", "text": turn.round.text})
    for index, call in enumerate(turn.round.calls):
        blocks.append({"type": "tool_use", "id": turn.id("toolu", index), "name": call.tool,
                       "input": json.loads(call.arguments)})
    return blocks


def _usage(turn, output):
    usage = turn.usage
    return {
        "input_tokens": usage["input"],
        "cache_creation_input_tokens": usage["cache_write"],
        "cache_read_input_tokens": usage["cache_read"],
        "cache_creation": {"ephemeral_5m_input_tokens": usage["cache_write"], "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def _delta_usage(turn):
    usage = _usage(turn, turn.usage["output"])
    del usage["cache_creation"], usage["service_tier"]
    return usage | {"output_tokens_details": {"thinking_tokens": turn.usage["reasoning"]}}


def whole(turn, _body, _memory):
    """The answer as one JSON body."""
    details = {"output_tokens_details": {"thinking_tokens": turn.usage["reasoning"]}}
    return _message(turn) | {
        "content": content(turn), "stop_reason": _stop_reason(turn),
        "usage": _usage(turn, turn.usage["output"]) | details,
    }


def _stop_reason(turn):
    return "tool_use" if turn.round.calls else "end_turn"


def _message(turn):
    return {"id": turn.id("msg"), "type": "message", "role": "assistant", "model": turn.model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": _usage(turn, 1)}


def frames(turn, _body, _memory):
    """The answer as a stream."""
    def event(kind, **values):
        return frame({"type": kind, **values}, kind)

    yield event("message_start", message=_message(turn))
    for index, block in enumerate(content(turn)):
        start, deltas = _parts(block, turn)
        yield event("content_block_start", index=index, content_block=start)
        if index == 0:
            yield event("ping")
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    yield event("message_delta", delta={"stop_reason": _stop_reason(turn), "stop_sequence": None},
                usage=_delta_usage(turn))
    yield event("message_stop")


def _parts(block, turn):
    """How a block is streamed: its start and its deltas."""
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    arguments = turn.round.calls[int(block["id"].rsplit("_", 1)[1])].arguments
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces(arguments))]
    return block | {"input": {}}, deltas


def error(refused, request_id):
    return {"type": "error", "error": {"type": refused.kind, "message": refused.message}, "request_id": request_id}

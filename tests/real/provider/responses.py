"""OpenAI Responses: what it accepts, what it remembers and how it answers."""

import rules
from script import Refused, case_of, turn_of
from wire import frame, pieces

FIELDS = {
    "background", "context_management", "conversation", "include", "input", "instructions", "max_output_tokens",
    "max_tool_calls", "metadata", "model", "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "store",
    "stream", "stream_options", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation",
    "user",
}
ITEM_FIELDS = {
    "message": {"id", "role", "content", "status", "phase"},
    "function_call": {"id", "call_id", "name", "arguments", "status", "namespace", "caller"},
    "function_call_output": {"id", "call_id", "output", "status"},
    "reasoning": {"id", "summary", "content", "encrypted_content", "status"},
}
ID_PREFIX = {"message": "msg_", "function_call": "fc_", "function_call_output": "fco_", "reasoning": "rs_"}
ENCRYPTED = "reasoning.encrypted_content"


def check_key(headers, key):
    if headers.get("authorization") != f"Bearer {key}":
        raise Refused("Incorrect API key provided.", code="invalid_api_key", status=401)
    if "x-api-key" in headers:
        raise Refused("x-api-key came along with authorization", status=401)


def read(body, memory):
    """Checks a request as the API does and tells which turn it asks for; `memory` maps ids to stored histories."""
    rules.fields(body, FIELDS, "")
    names = _tools(body)
    choice = _tool_choice(body, names)
    history = _history(body, memory)
    _pair_outputs(history)
    turn = turn_of(body.get("model"), *_since_prompt(history), choice == "none")
    if body.get("previous_response_id") is None:
        _check_issued(turn, history, stored=body.get("store", True))
    if choice != "none":
        rules.known_tools(turn, names)
    return turn


def _tools(body):
    tools = rules.array(body.get("tools", []), "tools")
    if len(tools) > 128:
        raise Refused(f"Invalid 'tools': array too long. Expected at most 128, got {len(tools)}.", param="tools")
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        if tool.get("type") != "function":
            raise Refused(f"This provider runs no hosted tools: '{path}.type'.", param=f"{path}.type")
        rules.fields(tool, {"type", "name", "description", "parameters", "strict", "defer_loading"}, path)
        rules.schema(tool.get("parameters"), f"function '{tool.get('name')}'")
    names = [tool.get("name") for tool in tools]
    rules.tool_names(names, 64)
    return names


def _tool_choice(body, names):
    choice = body.get("tool_choice")
    if choice is None:
        return "auto"
    if isinstance(choice, dict):
        if choice.get("type") != "function" or choice.get("name") not in names:
            raise Refused("Tool choice not found in 'tools' parameter.", param="tool_choice")
        return "function"
    if choice not in ("none", "auto", "required"):
        raise Refused(f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
                      param="tool_choice")
    if choice == "required" and not names:
        raise Refused("Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")
    return choice


def _history(body, memory):
    """All items that the model sees: the stored ones, if the request continues a response, and the input."""
    previous = body.get("previous_response_id")
    before = []
    if previous is not None:
        if previous not in memory:
            raise Refused(f"Previous response with id '{previous}' not found.", param="previous_response_id",
                          code="previous_response_not_found")
        before = memory[previous]
    given = body.get("input")
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": given}]
    given = [_item(item, f"input[{index}]") for index, item in enumerate(rules.array(given, "input"))]
    ids = set()
    for item in before + given:
        if item.get("id") in ids:
            raise Refused(f"Duplicate item found with id {item['id']}. Remove duplicate items from your input and try "
                          "again.", param="input")
        ids.add(item.get("id", object()))
    return before + given


def _item(item, path):
    kind = item.get("type", "message")
    if kind not in ITEM_FIELDS:
        raise Refused(f"Invalid value: '{kind}' for '{path}.type'.", param=f"{path}.type", code="invalid_value")
    rules.fields(item, ITEM_FIELDS[kind] | {"type"}, path)
    if item.get("id") is not None and not item["id"].startswith(ID_PREFIX[kind]):
        raise Refused(f"Invalid '{path}.id': '{item['id']}'. Expected an ID that begins with "
                      f"'{ID_PREFIX[kind][:-1]}'.", param=f"{path}.id", code="invalid_value")
    if kind == "message":
        _message(item, path)
    if kind == "function_call":
        for name in ("call_id", "name", "arguments"):
            rules.text(item.get(name), f"{path}.{name}")
    if kind == "function_call_output":
        rules.text(item.get("call_id"), f"{path}.call_id")
        _parts(item.get("output"), ("input_text", "input_image", "input_file"), f"{path}.output")
    if kind == "reasoning":
        rules.array(item.get("summary"), f"{path}.summary")
    return {"type": kind} | item


def _message(item, path):
    if item.get("role") not in ("user", "assistant", "system", "developer"):
        raise Refused(f"Invalid value: '{item.get('role')}' for '{path}.role'.", param=f"{path}.role")
    allowed = ("output_text", "refusal") if item["role"] == "assistant" else ("input_text", "input_image", "input_file")
    _parts(item.get("content"), allowed, f"{path}.content")


def _parts(value, allowed, path):
    if isinstance(value, str):
        return
    for index, part in enumerate(rules.array(value, path)):
        if part.get("type") not in allowed:
            raise Refused(f"Invalid value: '{part.get('type')}'. Supported values are: {allowed}.",
                          param=f"{path}[{index}].type", code="invalid_value")


def _pair_outputs(history):
    """Each call has one output after it."""
    open_calls, seen = [], set()
    for item in history:
        if item["type"] == "function_call":
            if item["call_id"] in seen:
                raise Refused(f"Duplicate call_id {item['call_id']}.", param="input")
            seen.add(item["call_id"])
            open_calls.append(item["call_id"])
        if item["type"] == "function_call_output":
            if item["call_id"] not in open_calls:
                raise Refused(f"No tool call found for function call output with call_id {item['call_id']}.",
                              param="input")
            open_calls.remove(item["call_id"])
    if open_calls:
        raise Refused(f"No tool output found for function call {open_calls[0]}.", param="input")


def _since_prompt(history):
    """The last user text that names a case, and the results after it, one group for each round's calls."""
    prompt, results, closed = None, [], True
    for item in history:
        if item["type"] == "message" and item["role"] == "user" and case_of(_text(item["content"])):
            prompt, results = _text(item["content"]), []
        closed = closed or item["type"] != "function_call_output"
        if item["type"] == "function_call_output":
            if closed:
                results.append([])
            closed = False
            results[-1].append(_result(item))
    return prompt, results


def _text(value):
    return value if isinstance(value, str) else "\n".join(part.get("text", "") for part in value)


def _result(item):
    parts = [] if isinstance(item["output"], str) else item["output"]
    images = [part["image_url"].removeprefix("data:").split(";")[0] for part in parts if part["type"] == "input_image"]
    return {"id": item["call_id"], "text": _text(item["output"]), "error": None, "images": images}


def _check_issued(turn, history, stored):
    """The items of a round with calls come back as they were issued, and none of them is missing."""
    calls = [item["call_id"] for item in history if item["type"] == "function_call"]
    for past in {call.rpartition("_")[0]: turn.past(call) for call in calls if f"_{turn.case}_" in call}.values():
        for issued in items(past, encrypted=True):
            found = [item for item in history if item.get("id") == issued["id"]]
            if not found:
                raise Refused(f"Item '{issued['id']}' of type '{issued['type']}' did not come back with its round.",
                              param="input")
            if issued["type"] == "reasoning" and "encrypted_content" not in found[0]:
                if not stored:
                    raise Refused(f"Item with id '{issued['id']}' not found. Items are not persisted when `store` is "
                                  "set to false. Try again with `store` set to true, or remove this item from your "
                                  "input.", param="input")
                del issued["encrypted_content"]
            rules.same(found[0], issued, f"input.{issued['id']}")


def items(turn, encrypted):
    """The output items of a round's answer."""
    found = []
    if turn.round.thinking:
        summary = [{"type": "summary_text", "text": turn.round.thinking}]
        found.append({"id": turn.id("rs"), "type": "reasoning", "summary": summary})
        if encrypted:
            found[0]["encrypted_content"] = turn.id("gAAAA") + "=="
    if turn.round.text:
        found.append({"id": turn.id("msg"), "type": "message", "status": "completed", "role": "assistant",
                      "content": [_output_text(turn.round.text)]})
    for index, call in enumerate(turn.round.calls):
        found.append({"id": turn.id("fc", index), "type": "function_call", "status": "completed",
                      "call_id": turn.id("call", index), "name": call.tool, "arguments": call.arguments})
    return found


def _output_text(text):
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _response(turn, body, status, output=(), usage=None):
    """The response object, which echoes much of its request."""
    return {
        "id": turn.id("resp"), "object": "response", "created_at": 1793500000 + turn.number, "status": status,
        "background": False, "completed_at": None, "error": None, "incomplete_details": None,
        "instructions": body.get("instructions"), "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None, "metadata": body.get("metadata") or {}, "model": turn.model, "output": list(output),
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"), "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": "medium", "summary": "auto"}, "safety_identifier": None, "service_tier": "default",
        "store": body.get("store", True), "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"}, "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []), "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "usage": usage,
        "user": None,
    }


def _final(turn, body, memory):
    output = items(turn, ENCRYPTED in (body.get("include") or []))
    if body.get("store", True):
        memory[turn.id("resp")] = _history(body, memory) + output
    usage = turn.usage
    tokens = usage["input"] + usage["cache_read"] + usage["cache_write"]
    return _response(turn, body, "completed", output, {
        "input_tokens": tokens,
        "input_tokens_details": {"cached_tokens": usage["cache_read"], "cache_write_tokens": usage["cache_write"]},
        "output_tokens": usage["output"], "output_tokens_details": {"reasoning_tokens": usage["reasoning"]},
        "total_tokens": tokens + usage["output"],
    })


def whole(turn, body, memory):
    """The answer as one JSON body."""
    return _final(turn, body, memory)


def frames(turn, body, memory):
    """The answer as a stream: the response's life around that of each item."""
    final = _final(turn, body, memory)
    started = _response(turn, body, "in_progress")
    events = [("response.created", {"response": started}), ("response.in_progress", {"response": started})]
    for index, item in enumerate(final["output"]):
        events += [(kind, {"output_index": index} | values) for kind, values in _item_events(item)]
    events.append(("response.completed", {"response": final}))
    for number, (kind, values) in enumerate(events):
        yield frame({"type": kind, "sequence_number": number} | values, kind)


def _item_events(item):
    life = {"reasoning": _reasoning_events, "message": _message_events, "function_call": _call_events}[item["type"]]
    yield from life(item)
    yield "response.output_item.done", {"item": item}


def _reasoning_events(item):
    yield "response.output_item.added", {"item": item | {"summary": []}}
    at = {"item_id": item["id"], "summary_index": 0}
    text = item["summary"][0]["text"]
    empty = {"type": "summary_text", "text": ""}
    yield "response.reasoning_summary_part.added", at | {"part": empty}
    for piece in pieces(text):
        yield "response.reasoning_summary_text.delta", at | {"delta": piece}
    yield "response.reasoning_summary_text.done", at | {"text": text}
    yield "response.reasoning_summary_part.done", at | {"part": item["summary"][0]}


def _message_events(item):
    yield "response.output_item.added", {"item": item | {"status": "in_progress", "content": []}}
    at = {"item_id": item["id"], "content_index": 0}
    text = item["content"][0]["text"]
    yield "response.content_part.added", at | {"part": _output_text("")}
    for piece in pieces(text):
        yield "response.output_text.delta", at | {"delta": piece, "logprobs": []}
    yield "response.output_text.done", at | {"text": text, "logprobs": []}
    yield "response.content_part.done", at | {"part": item["content"][0]}


def _call_events(item):
    yield "response.output_item.added", {"item": item | {"status": "in_progress", "arguments": ""}}
    at = {"item_id": item["id"]}
    for piece in pieces(item["arguments"]):
        yield "response.function_call_arguments.delta", at | {"delta": piece}
    yield "response.function_call_arguments.done", at | {"arguments": item["arguments"], "name": item["name"]}


def error(refused, _request_id):
    return {"error": {"message": refused.message, "type": refused.kind, "param": refused.param, "code": refused.code}}

"""OpenAI Chat Completions: what it accepts and how it answers."""

import rules
from script import Refused, case_of, turn_of
from wire import frame, pieces

FIELDS = {
    "messages", "model", "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "metadata", "modalities", "n", "parallel_tool_calls", "prediction",
    "presence_penalty", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort",
    "response_format", "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options",
    "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
}
MESSAGE_FIELDS = {
    "system": {"role", "content", "name"}, "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "refusal", "tool_calls", "audio", "annotations", "function_call"},
    "tool": {"role", "content", "tool_call_id"},
}


def check_key(headers, key):
    if headers.get("authorization") != f"Bearer {key}":
        raise Refused("Incorrect API key provided.", code="invalid_api_key", status=401)
    if "x-api-key" in headers:
        raise Refused("x-api-key came along with authorization", status=401)


def read(body, _memory):
    """Checks a request as the API does and tells which turn it asks for."""
    rules.fields(body, FIELDS, "")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused("The 'stream_options' parameter is only allowed when 'stream' is enabled.",
                      param="stream_options")
    names = _tools(body)
    choice = _tool_choice(body, names)
    messages = _messages(body)
    turn = turn_of(body.get("model"), *_since_prompt(messages), choice == "none")
    _check_issued(turn, messages)
    if choice != "none":
        rules.known_tools(turn, names)
    return turn


def _tools(body):
    if "tools" not in body:
        return []
    tools = rules.array(body["tools"], "tools")
    if not tools:
        raise Refused("Invalid 'tools': empty array. Expected an array with minimum length 1.", param="tools")
    if len(tools) > 128:
        raise Refused(f"Invalid 'tools': array too long. Expected at most 128, got {len(tools)}.", param="tools")
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        rules.fields(tool, {"type", "function"}, path)
        if tool.get("type") != "function":
            raise Refused(f"Invalid value for '{path}.type'.", param=f"{path}.type")
        rules.fields(tool.get("function", {}), {"name", "description", "parameters", "strict"}, f"{path}.function")
        if "parameters" in tool["function"]:
            rules.schema(tool["function"]["parameters"], f"function '{tool['function'].get('name')}'")
    names = [tool["function"].get("name") for tool in tools]
    rules.tool_names(names, 64)
    return names


def _tool_choice(body, names):
    choice = body.get("tool_choice")
    if choice is None:
        return "auto" if names else "none"
    if not names:
        raise Refused("Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
                      param="tool_choice")
    if isinstance(choice, dict):
        if choice.get("type") != "function" or choice.get("function", {}).get("name") not in names:
            raise Refused("Tool choice not found in 'tools' parameter.", param="tool_choice")
        return "function"
    if choice not in ("none", "auto", "required"):
        raise Refused(f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
                      param="tool_choice")
    return choice


def _messages(body):
    """The history, each message checked, and each call followed by its result."""
    messages = rules.array(body.get("messages"), "messages")
    open_calls, seen = [], set()
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        role = message.get("role")
        if role not in MESSAGE_FIELDS:
            raise Refused(f"Invalid value: '{role}' for '{path}.role'.", param=f"{path}.role")
        rules.fields(message, MESSAGE_FIELDS[role], path)
        _content(message, role, path)
        if role == "tool":
            call = message.get("tool_call_id")
            if call not in open_calls:
                raise Refused("Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                              f"with 'tool_calls'. ({call})", param=f"{path}.role")
            open_calls.remove(call)
            continue
        _none_open(open_calls, path)
        open_calls = [_call(call, f"{path}.tool_calls[{place}]")
                      for place, call in enumerate(message.get("tool_calls") or [])]
        if seen & set(open_calls) or len(set(open_calls)) != len(open_calls):
            raise Refused(f"Duplicate value for 'tool_call_id' in '{path}.tool_calls'.", param=path)
        seen |= set(open_calls)
    _none_open(open_calls, "messages")
    return messages


def _none_open(open_calls, path):
    if open_calls:
        raise Refused("An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                      "'tool_call_id'. The following tool_call_ids did not have response messages: "
                      f"{', '.join(open_calls)}", param=path)


def _content(message, role, path):
    content = message.get("content")
    if content is None:
        if role != "assistant" or not message.get("tool_calls"):
            raise Refused(f"Invalid value for '{path}.content': expected a string, got null.", param=f"{path}.content")
        return
    if "tool_calls" in message and message["tool_calls"] == []:
        raise Refused(f"Invalid '{path}.tool_calls': empty array.", param=f"{path}.tool_calls")
    if isinstance(content, str):
        return
    allowed = {"user": ("text", "image_url", "input_audio", "file"), "assistant": ("text", "refusal")}
    for place, part in enumerate(rules.array(content, f"{path}.content")):
        if part.get("type") not in allowed.get(role, ("text",)):
            raise Refused(f"Invalid value: '{part.get('type')}' for '{path}.content[{place}].type' of a message with "
                          f"role '{role}'.", param=f"{path}.content[{place}].type")


def _call(call, path):
    rules.fields(call, {"id", "type", "function"}, path)
    rules.text(call.get("function", {}).get("name"), f"{path}.function.name")
    rules.text(call["function"].get("arguments"), f"{path}.function.arguments")
    return rules.text(call.get("id"), f"{path}.id")


def _since_prompt(messages):
    """The last user text that names a case, and the results after it, one group for each assistant message."""
    prompt, results = None, []
    for message in messages:
        if message["role"] == "user":
            said = _text(message)
            if case_of(said):
                prompt, results = said, []
            elif results:
                results[-1][-1]["images"] += _images(message)
        elif message["role"] == "assistant" and message.get("tool_calls"):
            results.append([])
        elif message["role"] == "tool":
            results[-1].append({"id": message["tool_call_id"], "text": _text(message), "error": None, "images": []})
    return prompt, results


def _images(message):
    """Media types of a user message's pictures: a tool message of this API cannot hold any."""
    content = message["content"] if isinstance(message["content"], list) else []
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return [url.removeprefix("data:").split(";")[0] for url in urls]


def _text(message):
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _check_issued(turn, messages):
    for index, message in enumerate(messages):
        calls = message.get("tool_calls")
        if not calls or f"_{turn.case}_" not in calls[0]["id"]:
            continue
        issued = message_of(turn.past(calls[0]["id"]))
        said = message.get("content") or None
        rules.same(message | {"content": said}, issued, f"messages[{index}]")


def message_of(turn):
    message = {"role": "assistant", "content": turn.round.text, "refusal": None, "annotations": []}
    if turn.round.calls:
        message["tool_calls"] = [
            {"id": turn.id("call", index), "type": "function",
             "function": {"name": call.tool, "arguments": call.arguments}}
            for index, call in enumerate(turn.round.calls)]
    return message


def _usage(turn):
    usage = turn.usage
    prompt = usage["input"] + usage["cache_read"] + usage["cache_write"]
    return {
        "prompt_tokens": prompt, "completion_tokens": usage["output"], "total_tokens": prompt + usage["output"],
        "prompt_tokens_details": {"cached_tokens": usage["cache_read"], "cache_write_tokens": usage["cache_write"],
                                  "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage["reasoning"], "audio_tokens": 0,
                                      "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
    }


def _head(turn, kind):
    return {"id": turn.id("chatcmpl"), "object": kind, "created": 1793500000 + turn.number, "model": turn.model,
            "service_tier": "default", "system_fingerprint": "fp_scripted"}


def _finish_reason(turn):
    return "tool_calls" if turn.round.calls else "stop"


def whole(turn, _body, _memory):
    """The answer as one JSON body."""
    choice = {"index": 0, "message": message_of(turn), "logprobs": None, "finish_reason": _finish_reason(turn)}
    return _head(turn, "chat.completion") | {"choices": [choice], "usage": _usage(turn)}


def frames(turn, body, _memory):
    """The answer as a stream; usage comes last, and only if asked for."""
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))

    def chunk(delta, finish_reason=None):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if with_usage else {}
        return frame(_head(turn, "chat.completion.chunk") | {"choices": [choice]} | usage)

    first = "" if turn.round.text else None
    yield chunk({"role": "assistant", "content": first, "refusal": None})
    for piece in pieces(turn.round.text or ""):
        yield chunk({"content": piece})
    for index, call in enumerate(turn.round.calls):
        yield chunk({"tool_calls": [{"index": index, "id": turn.id("call", index), "type": "function",
                                     "function": {"name": call.tool, "arguments": ""}}]})
        for piece in pieces(call.arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _finish_reason(turn))
    if with_usage:
        yield frame(_head(turn, "chat.completion.chunk") | {"choices": [], "usage": _usage(turn)})
    yield frame("[DONE]")


def error(refused, _request_id):
    return {"error": {"message": refused.message, "type": refused.kind, "param": refused.param, "code": refused.code}}

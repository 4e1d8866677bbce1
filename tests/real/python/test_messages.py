"""Anthropic Messages through the official SDK: one message, whatever number of rounds made it."""

import anthropic
import pytest

from expected import CALLERS_KEY, new_case, prompt

DIALECT = "messages"


@pytest.fixture(scope="module")
def client(gateway):
    return anthropic.Anthropic(base_url=gateway, api_key=CALLERS_KEY, max_retries=0)


@pytest.mark.parametrize("surface", ["stable", "beta"])
@pytest.mark.parametrize("mode", ["streamed", "whole"])
def test_final_message(client, provider, scenario, mode, surface):
    case = new_case()
    api = client.messages if surface == "stable" else client.beta.messages
    history = [{"role": "user", "content": prompt(case)}]
    for leg in scenario.legs:
        message = ask(api, mode, scenario, history)
        check(message, scenario, leg, case)
        check_usage(message.usage, leg, streamed=mode == "streamed", beta=surface == "beta")
        history += [{"role": "assistant", "content": message.content}, results_of(message)]
    check_tools(provider.saw(case, scenario), scenario)


def ask(api, mode, scenario, history):
    request = {"model": scenario.name, "max_tokens": 4000, "messages": history}
    if scenario.tools:
        request["tools"] = [
            {"name": name, "description": tool["description"], "input_schema": tool["schema"]}
            for name, tool in scenario.tools.items()]
    if scenario.thinking:
        request["thinking"] = {"type": "enabled", "budget_tokens": 2000}
    if mode == "whole":
        return api.create(**request)
    with api.stream(**request) as stream:
        return check_events(stream)


def check_events(stream):
    """Blocks start and stop in dense order, one at a time, inside one message."""
    kinds, open_index, next_index = [], None, 0
    for event in stream:
        if event.type == "content_block_start":
            assert open_index is None and event.index == next_index
            open_index, next_index = event.index, next_index + 1
        elif event.type == "content_block_delta":
            assert event.index == open_index
        elif event.type == "content_block_stop":
            assert event.index == open_index
            open_index = None
        elif event.type in ("message_start", "message_delta", "message_stop"):
            kinds.append(event.type)
            assert open_index is None
    assert kinds == ["message_start", "message_delta", "message_stop"]
    return stream.get_final_message()


def check(message, scenario, leg, case):
    assert message.id == f"msg_{case}_r{leg.first}"
    assert (message.type, message.role, message.model) == ("message", "assistant", scenario.model)
    assert message.stop_reason == ("tool_use" if leg.calls else "end_turn")
    assert message.stop_sequence is None
    assert [plain(block) for block in message.content] == blocks_of(leg, case)


def plain(block):
    return {name: getattr(block, name) for name in ("type", "thinking", "signature", "text", "id", "name", "input")
            if getattr(block, name, None) is not None}


def blocks_of(leg, case):
    blocks = []
    for entry in leg.rounds:
        if entry.thinking:
            signature = f"sig_{case}_r{entry.number}/Aa+=="
            blocks.append({"type": "thinking", "thinking": entry.thinking, "signature": signature})
        if entry.text:
            blocks.append({"type": "text", "text": entry.text})
    return blocks + [
        {"type": "tool_use", "id": f"toolu_{case}_{place}", "name": call["tool"], "input": call["arguments"]}
        for place, call in leg.calls]


def check_usage(usage, leg, streamed, beta):
    """Sums at the top, and one entry a round where there were several."""
    assert usage.input_tokens == leg.total("input")
    assert usage.cache_read_input_tokens == leg.total("cache_read")
    assert usage.cache_creation_input_tokens == leg.total("cache_write")
    assert usage.output_tokens == leg.total("output")
    assert usage.output_tokens_details.thinking_tokens == leg.total("reasoning")
    if not streamed:
        assert usage.cache_creation.ephemeral_5m_input_tokens == leg.total("cache_write")
    if streamed and not beta:
        return  # the stable helper drops `iterations`
    entries = getattr(usage, "iterations", None) or []
    entries = [entry if isinstance(entry, dict) else entry.model_dump() for entry in entries]
    wanted = [] if len(leg.rounds) == 1 else [
        ("message", entry.usage["input"], entry.usage["cache_read"], entry.usage["cache_write"], entry.usage["output"])
        for entry in leg.rounds]
    fields = ("type", "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    assert [tuple(entry[name] for name in fields) for entry in entries] == wanted


def results_of(message):
    calls = [block for block in message.content if block.type == "tool_use"]
    return {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"client result {index}"}
        for index, call in enumerate(calls)]}


def check_tools(requests, scenario):
    """The client's own tools come first; the choice is taken away at the round cap only."""
    mine = list(scenario.tools)
    names = [tool["name"] for tool in requests[0]["body"]["tools"]]
    assert names[:len(mine)] == mine and "everything__echo" in names[len(mine):]
    choices = [(request["body"].get("tool_choice") or {}).get("type", "auto") for request in requests]
    last = "none" if scenario.name == "round-cap" else "auto"
    assert choices == ["auto"] * (len(requests) - 1) + [last]

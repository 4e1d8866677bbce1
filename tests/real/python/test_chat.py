"""OpenAI Chat Completions through the official SDK: one completion, whatever number of rounds made it."""

import json

import openai
import pytest

from expected import CALLERS_KEY, new_case, prompt

DIALECT = "chat"


@pytest.fixture(scope="module")
def client(gateway):
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key=CALLERS_KEY, max_retries=0)


@pytest.mark.parametrize("mode", ["streamed", "streamed-without-usage", "whole"])
def test_final_completion(client, provider, scenario, mode):
    case = new_case()
    history = [{"role": "user", "content": prompt(case)}]
    for leg in scenario.legs:
        completion = ask(client, mode, scenario, history)
        check(completion, scenario, leg, case)
        check_usage(completion.usage, leg, asked_for=mode != "streamed-without-usage")
        message = completion.choices[0].message
        history += [message_param(message), *results_of(message)]
    check_tools(provider.saw(case, scenario), scenario)


def ask(client, mode, scenario, history):
    request = {"model": scenario.name, "messages": history}
    if scenario.tools:
        request["tools"] = [
            {"type": "function", "function": {"name": name, "description": tool["description"], "strict": True,
                                              "parameters": tool["schema"]}}
            for name, tool in scenario.tools.items()]
    if mode == "whole":
        return client.chat.completions.create(**request)
    if mode == "streamed":
        request["stream_options"] = {"include_usage": True}
    with client.chat.completions.stream(**request) as stream:
        chunks = [event.chunk for event in stream if event.type == "chunk"]
        check_chunks(chunks, with_usage=mode == "streamed")
        return stream.get_final_completion()


def check_chunks(chunks, with_usage):
    """The role once, one finish, one id; a chunk without choices only as the asked-for usage at the end."""
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert [choice.delta.role for choice in choices if choice.delta.role] == ["assistant"]
    assert [index for index, choice in enumerate(choices) if choice.finish_reason] == [len(choices) - 1]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    bare = [index for index, chunk in enumerate(chunks) if not chunk.choices]
    assert bare == ([len(chunks) - 1] if with_usage else [])
    assert [index for index, chunk in enumerate(chunks) if chunk.usage] == bare


def check(completion, scenario, leg, case):
    assert completion.id == f"chatcmpl_{case}_r{leg.first}"
    assert (completion.created, completion.model) == (1793500000 + leg.first, scenario.model)
    assert completion.object == "chat.completion"
    assert len(completion.choices) == 1
    choice = completion.choices[0]
    assert choice.index == 0
    assert choice.finish_reason == ("tool_calls" if leg.calls else "stop")
    assert choice.message.role == "assistant"
    assert choice.message.refusal is None
    assert (choice.message.content or None) == ("\n\n".join(leg.texts) or None)
    calls = [(call.id, call.type, call.function.name, json.loads(call.function.arguments))
             for call in choice.message.tool_calls or []]
    assert calls == [(f"call_{case}_{place}", "function", call["tool"], call["arguments"]) for place, call in leg.calls]


def check_usage(usage, leg, asked_for):
    if not asked_for:
        assert usage is None
        return
    assert usage.prompt_tokens == leg.prompt_tokens
    assert usage.completion_tokens == leg.total("output")
    assert usage.total_tokens == leg.prompt_tokens + leg.total("output")
    assert usage.prompt_tokens_details.cached_tokens == leg.total("cache_read")
    assert usage.prompt_tokens_details.cache_write_tokens == leg.total("cache_write")
    assert usage.completion_tokens_details.reasoning_tokens == leg.total("reasoning")


def message_param(message):
    param = {"role": "assistant", "content": message.content}
    if message.tool_calls:
        param["tool_calls"] = [
            {"id": call.id, "type": "function",
             "function": {"name": call.function.name, "arguments": call.function.arguments}}
            for call in message.tool_calls]
    return param


def results_of(message):
    return [{"role": "tool", "tool_call_id": call.id, "content": f"client result {index}"}
            for index, call in enumerate(message.tool_calls or [])]


def check_tools(requests, scenario):
    """The client's own tools come first; the choice is taken away at the round cap only."""
    mine = list(scenario.tools)
    names = [tool["function"]["name"] for tool in requests[0]["body"]["tools"]]
    assert names[:len(mine)] == mine and "everything__echo" in names[len(mine):]
    choices = [request["body"].get("tool_choice", "auto") for request in requests]
    last = "none" if scenario.name == "round-cap" else "auto"
    assert choices == ["auto"] * (len(requests) - 1) + [last]

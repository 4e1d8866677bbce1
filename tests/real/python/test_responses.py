"""OpenAI Responses through the official SDK: one response, whatever number of rounds made it."""

import json

import openai
import pytest

from expected import CALLERS_KEY, new_case, prompt, scenarios

DIALECT = "responses"


@pytest.fixture(scope="module")
def client(gateway):
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key=CALLERS_KEY, max_retries=0)


@pytest.mark.parametrize("state", ["stored", "stateless"])
@pytest.mark.parametrize("mode", ["streamed", "whole"])
def test_final_response(client, provider, scenario, mode, state):
    play(client, provider, scenario, mode, state)


@pytest.mark.parametrize("mode", ["streamed", "whole"])
def test_encrypted_reasoning_is_shown_to_who_asked(client, provider, mode):
    thinking = next(scenario for scenario in scenarios(DIALECT) if scenario.thinking)
    play(client, provider, thinking, mode, "stateless-encrypted")


def play(client, provider, scenario, mode, state):
    case = new_case()
    history = [{"type": "message", "role": "user", "content": prompt(case)}]
    previous = None
    for leg in scenario.legs:
        response = ask(client, mode, state, scenario, history, previous)
        check(response, scenario, leg, case, state, previous)
        check_usage(response.usage, leg)
        results = results_of(response)
        if state == "stored":
            history, previous = results, response.id
        else:
            history += input_of(response) + results
    check_tools(provider.saw(case, scenario), scenario)


def ask(client, mode, state, scenario, history, previous):
    request = {"model": scenario.name, "input": history, "store": state == "stored"}
    if previous:
        request["previous_response_id"] = previous
    if state == "stateless-encrypted":
        request["include"] = ["reasoning.encrypted_content"]
    if scenario.tools:
        request["tools"] = [
            {"type": "function", "name": name, "description": tool["description"], "strict": True,
             "parameters": tool["schema"]}
            for name, tool in scenario.tools.items()]
    if mode == "whole":
        return client.responses.create(**request)
    with client.responses.stream(**request) as stream:
        check_events(list(stream))
        return stream.get_final_response()


def check_events(events):
    """One life, rising sequence numbers, dense output indices; the deltas amount to the final items."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed"
    assert sum(kind.startswith("response.") and kind.count(".") == 1 for kind in kinds) == 3
    assert len({event.response.id for event in events if hasattr(event, "response")}) == 1
    added = [event.output_index for event in events if event.type == "response.output_item.added"]
    done = [event.item.to_dict() for event in events if event.type == "response.output_item.done"]
    assert added == list(range(len(done)))
    assert [item["id"] for item in done] == [item.id for item in events[-1].response.output]


def check(response, scenario, leg, case, state, previous):
    assert response.id == f"resp_{case}_r{leg.first}"
    assert (response.object, response.status, response.model) == ("response", "completed", scenario.model)
    assert response.created_at == 1793500000 + leg.first
    assert response.error is None and response.incomplete_details is None
    assert [plain(item) for item in response.output] == items_of(leg, case, state)
    assert response.output_text == "".join(leg.texts)
    # What the response echoes of its request is the client's request.
    assert [tool.name for tool in response.tools] == list(scenario.tools)
    assert response.tool_choice == "auto"
    assert response.previous_response_id == previous
    assert response.to_dict()["store"] == (state == "stored")


def plain(item):
    fields = item.to_dict()
    for part in fields.get("content") or []:
        part.pop("parsed", None)
        part.pop("logprobs", None)
    if "arguments" in fields:
        fields["arguments"] = json.loads(fields["arguments"])
    return {name: value for name, value in fields.items() if value is not None and name != "parsed_arguments"}


def items_of(leg, case, state):
    items = []
    for entry in leg.rounds:
        if entry.thinking:
            items.append({"id": f"rs_{case}_r{entry.number}", "type": "reasoning",
                          "summary": [{"type": "summary_text", "text": entry.thinking}]})
            if state == "stateless-encrypted":
                items[-1]["encrypted_content"] = f"gAAAA_{case}_r{entry.number}=="
        if entry.text:
            items.append({"id": f"msg_{case}_r{entry.number}", "type": "message", "role": "assistant",
                          "status": "completed",
                          "content": [{"type": "output_text", "annotations": [], "text": entry.text}]})
    return items + [
        {"id": f"fc_{case}_{place}", "type": "function_call", "status": "completed", "call_id": f"call_{case}_{place}",
         "name": call["tool"], "arguments": call["arguments"]}
        for place, call in leg.calls]


def check_usage(usage, leg):
    assert usage.input_tokens == leg.prompt_tokens
    assert usage.input_tokens_details.cached_tokens == leg.total("cache_read")
    assert usage.input_tokens_details.cache_write_tokens == leg.total("cache_write")
    assert usage.output_tokens == leg.total("output")
    assert usage.output_tokens_details.reasoning_tokens == leg.total("reasoning")
    assert usage.total_tokens == leg.prompt_tokens + leg.total("output")


def input_of(response):
    """The output as the next request's input, without what the SDK's helper parsed into it."""
    items = [item.to_dict() for item in response.output]
    for item in items:
        item.pop("parsed_arguments", None)
        for part in item.get("content") or []:
            part.pop("parsed", None)
    return items


def results_of(response):
    calls = [item for item in response.output if item.type == "function_call"]
    return [{"type": "function_call_output", "call_id": call.call_id, "output": f"client result {index}"}
            for index, call in enumerate(calls)]


def check_tools(requests, scenario):
    """The client's own tools come first; the choice is taken away at the round cap only."""
    mine = list(scenario.tools)
    names = [tool["name"] for tool in requests[0]["body"]["tools"]]
    assert names[:len(mine)] == mine and "everything__echo" in names[len(mine):]
    choices = [request["body"].get("tool_choice", "auto") for request in requests]
    last = "none" if scenario.name == "round-cap" else "auto"
    assert choices == ["auto"] * (len(requests) - 1) + [last]

"""The judge's own judge: the scripted provider talks to the SDKs directly, and refuses what the APIs refuse."""

import os
import subprocess
import sys
from pathlib import Path

import anthropic
import httpx2 as httpx
import openai
import pytest

import test_chat
import test_messages
import test_responses
from conftest import Provider
from expected import new_case, one_by_one, prompt, scenarios

KEY = "the-providers-key"


@pytest.fixture(scope="module")
def url():
    """A provider of its own, so that what it refuses here does not fail the run."""
    process = subprocess.Popen([sys.executable, str(Path(__file__).parent.parent / "provider")], text=True,
                               stdout=subprocess.PIPE, env=os.environ | {"PROVIDER_KEY": KEY})
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait()


def playable(dialect):
    """Scenarios that a client without a gateway can play: nothing in them is the gateway's own doing."""
    return [pytest.param(one_by_one(scenario), id=scenario.name) for scenario in scenarios(dialect)
            if scenario.name not in ("broken-arguments", "mixed-turn", "round-cap")]


@pytest.mark.parametrize("mode", ["streamed", "whole"])
@pytest.mark.parametrize("script", playable("messages"))
def test_messages_round_by_round(url, script, mode):
    client = anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0)
    case = new_case()
    history = [{"role": "user", "content": prompt(case)}]
    for leg in script.legs:
        message = test_messages.ask(client.beta.messages, mode, script, history)
        test_messages.check(message, script, leg, case)
        test_messages.check_usage(message.usage, leg, streamed=mode == "streamed", beta=True)
        history += [{"role": "assistant", "content": message.content}, test_messages.results_of(message)]
    assert len(Provider(url).requests(case)) == len(script.legs)


@pytest.mark.parametrize("mode", ["streamed", "streamed-without-usage", "whole"])
@pytest.mark.parametrize("script", playable("chat"))
def test_chat_round_by_round(url, script, mode):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    case = new_case()
    history = [{"role": "user", "content": prompt(case)}]
    for leg in script.legs:
        completion = test_chat.ask(client, mode, script, history)
        test_chat.check(completion, script, leg, case)
        test_chat.check_usage(completion.usage, leg, asked_for=mode != "streamed-without-usage")
        message = completion.choices[0].message
        history += [test_chat.message_param(message), *test_chat.results_of(message)]
    assert len(Provider(url).requests(case)) == len(script.legs)


@pytest.mark.parametrize("state", ["stored", "stateless-encrypted"])
@pytest.mark.parametrize("mode", ["streamed", "whole"])
@pytest.mark.parametrize("script", playable("responses"))
def test_responses_round_by_round(url, script, mode, state):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    case = new_case()
    history, previous = [{"type": "message", "role": "user", "content": prompt(case)}], None
    for leg in script.legs:
        response = test_responses.ask(client, mode, state, script, history, previous)
        test_responses.check(response, script, leg, case, state, previous)
        test_responses.check_usage(response.usage, leg)
        results = test_responses.results_of(response)
        if state == "stored":
            history, previous = results, response.id
        else:
            history += test_responses.input_of(response) + results
    assert len(Provider(url).requests(case)) == len(script.legs)


# Each row: the API's path, what is wrong (put into a good request of round 2) and words of the refusal.
USER = {"role": "user", "content": "case:bad"}
TOOL = {"name": "everything__echo", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "everything__echo", "parameters": {"type": "object"}}}
FLAT = {"type": "function", "name": "everything__echo", "parameters": {"type": "object"}}
ARGUMENTS = '{"message": "h\\u00e4l\\"lo \\u2615 \\u4e16\\u754c"}'
USE = {"type": "tool_use", "id": "toolu_bad_r1_0", "name": "everything__echo",
       "input": {"message": "häl\"lo ☕ 世界"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_bad_r1_0", "content": "x"}
CALL = {"id": "call_bad_r1_0", "type": "function", "function": {"name": "everything__echo", "arguments": ARGUMENTS}}
ANSWER = {"role": "tool", "tool_call_id": "call_bad_r1_0", "content": "x"}
ITEM = {"type": "function_call", "id": "fc_bad_r1_0", "call_id": "call_bad_r1_0", "name": "everything__echo",
        "arguments": ARGUMENTS, "status": "completed"}
OUTPUT = {"type": "function_call_output", "call_id": "call_bad_r1_0", "output": "x"}


def history(use=USE, results=(RESULT,)):
    return [USER, {"role": "assistant", "content": [use]}, {"role": "user", "content": list(results)}]


def assistant(*calls):
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


GOOD = {
    "/v1/messages": {"model": "one-call", "max_tokens": 9, "tools": [TOOL], "messages": history()},
    "/v1/chat/completions": {"model": "one-call", "tools": [FUNCTION], "messages": [USER, assistant(CALL), ANSWER]},
    "/v1/responses": {"model": "one-call", "tools": [FLAT], "input": [USER, ITEM, OUTPUT]},
}
BAD = [
    ("/v1/messages", {"messages": history(results=[{"type": "text", "text": "no"}])}, "without `tool_result` blocks"),
    ("/v1/messages", {"messages": history(results=[RESULT, RESULT])}, "multiple `tool_result`"),
    ("/v1/messages", {"messages": history(results=[RESULT, RESULT | {"tool_use_id": "toolu_bad_r1_1"}])}, "unexpected"),
    ("/v1/messages", {"messages": history(results=[{"type": "text", "text": "x"}, RESULT])}, "must come first"),
    ("/v1/messages", {"messages": history(use=USE | {"input": {"message": "other"}})}, "came back changed"),
    ("/v1/messages", {"messages": history() + [USER | {"content": [{"type": "text", "text": ""}]}]}, "non-empty"),
    ("/v1/messages", {"messages": history(use=USE | {"round": 1})}, "Extra inputs"),
    ("/v1/messages", {"model": "thinking-call", "messages": history(use=USE)}, "`thinking` is not enabled"),
    ("/v1/messages", {"tools": [TOOL, TOOL]}, "must be unique"),
    ("/v1/messages", {"tools": [TOOL | {"name": "everything.echo"}]}, "does not match"),
    ("/v1/messages", {"tools": [TOOL | {"input_schema": {"anyOf": []}}]}, "Invalid schema"),
    ("/v1/messages", {"tool_choice": "none"}, "expected an object"),
    ("/v1/messages", {"tool_choice": {"type": "never"}}, "expected tags"),
    ("/v1/messages", {"toolgate": True}, "Extra inputs"),
    ("/v1/chat/completions", {"messages": [USER, assistant(CALL)]}, "did not have response messages"),
    ("/v1/chat/completions", {"messages": [USER, ANSWER]}, "preceeding message"),
    ("/v1/chat/completions", {"messages": [USER, assistant(CALL), ANSWER, ANSWER]}, "preceeding message"),
    ("/v1/chat/completions", {"messages": [USER, assistant(CALL, CALL), ANSWER]}, "Duplicate value"),
    ("/v1/chat/completions", {"tools": [FUNCTION] * 129}, "array too long"),
    ("/v1/chat/completions", {"tools": []}, "empty array"),
    ("/v1/chat/completions", {"stream_options": {"include_usage": True}}, "only allowed when"),
    ("/v1/chat/completions", {"tool_choice": {"type": "none"}}, "Tool choice not found"),
    ("/v1/chat/completions", {"thinking": {}}, "Unknown parameter"),
    ("/v1/responses", {"input": [USER, ITEM]}, "No tool output found"),
    ("/v1/responses", {"input": [USER, OUTPUT]}, "No tool call found"),
    ("/v1/responses", {"input": [USER, ITEM, ITEM, OUTPUT]}, "Duplicate item"),
    ("/v1/responses", {"input": [USER, ITEM | {"id": "call_1"}, OUTPUT]}, "begins with 'fc'"),
    ("/v1/responses", {"input": [OUTPUT], "previous_response_id": "resp_unknown"}, "not found"),
    ("/v1/responses", {"model": "thinking-call"}, "did not come back"),
    ("/v1/responses", {"tools": [FLAT | {"type": "mcp"}]}, "no hosted tools"),
]


def post(url, path, body, headers=None):
    key = {"x-api-key": KEY, "anthropic-version": "2023-06-01"} if path == "/v1/messages" else {
        "authorization": f"Bearer {KEY}"}
    return httpx.post(url + path, json=body, headers=key | (headers or {}))


@pytest.mark.parametrize("path", GOOD)
def test_good_request_is_answered(url, path):
    assert post(url, path, GOOD[path]).status_code == 200


@pytest.mark.parametrize("path, wrong, words", BAD, ids=[f"{path[4:]}: {words}" for path, _, words in BAD])
def test_bad_request_is_refused_and_kept(url, path, wrong, words):
    answer = post(url, path, GOOD[path] | wrong)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert words in httpx.get(f"{url}/_verdict").json()["violations"][-1]["violation"]


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("headers", [{"cookie": "a=b"}, {"x-forwarded-for": "10.0.0.1"}, {"x-toolgate-inject": "off"},
                                     {"x-note": "the-callers-own-key"}], ids=lambda headers: next(iter(headers)))
def test_leaked_header_is_kept(url, path, headers):
    assert post(url, path, GOOD[path], headers).status_code == 200
    assert "reached the provider" in httpx.get(f"{url}/_verdict").json()["violations"][-1]["violation"]


@pytest.mark.parametrize("path", GOOD)
def test_wrong_key_is_refused(url, path):
    assert post(url, path, GOOD[path], {"authorization": "Bearer wrong", "x-api-key": "wrong"}).status_code == 401

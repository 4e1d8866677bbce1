"""The agents' provider without gateway and agent: it plays a conversation as it should be, and refuses any other."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import httpx2 as httpx
import pytest

KEY = "the-providers-key"
PATH = {"messages": "/v1/messages", "chat": "/v1/chat/completions", "responses": "/v1/responses"}
SCHEMAS = {
    "lookup": {"type": "object", "properties": {"path": {"type": "string"}}},
    "counter__count": {"type": "object"},
    "everything__echo": {"type": "object"},
    "everything__get-sum": {"type": "object"},
}


@pytest.fixture(scope="module")
def url():
    provider = Path(__file__).parent.parent / "agents" / "provider"
    process = subprocess.Popen([sys.executable, str(provider)], text=True, stdout=subprocess.PIPE,
                               env=os.environ | {"PROVIDER_KEY": KEY})
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait()


class Messages:
    def __init__(self):
        self.body = {
            "model": "claude-x", "max_tokens": 9, "thinking": {"type": "enabled", "budget_tokens": 1024},
            "tools": [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()], "messages": []}
        self.history = self.body["messages"]

    def say(self, text):
        self.history.append({"role": "user", "content": text})

    def take(self, answer):
        self.history.append({"role": "assistant", "content": answer["content"]})
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": result_of(block["name"], block["input"])}
            for block in answer["content"] if block["type"] == "tool_use"]
        if results:
            self.history.append({"role": "user", "content": results})
        return bool(results)


class Chat:
    def __init__(self):
        self.body = {"model": "gpt-x", "messages": [], "tools": [
            {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in SCHEMAS.items()]}
        self.history = self.body["messages"]

    def say(self, text):
        self.history.append({"role": "user", "content": text})

    def take(self, answer):
        message = answer["choices"][0]["message"]
        self.history.append(message)
        for call in message.get("tool_calls", []):
            result = result_of(call["function"]["name"], json.loads(call["function"]["arguments"]))
            self.history.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        return "tool_calls" in message


class Responses:
    def __init__(self):
        self.body = {
            "model": "gpt-x", "store": False, "include": ["reasoning.encrypted_content"], "input": [],
            "tools": [{"type": "function", "name": name, "parameters": schema} for name, schema in SCHEMAS.items()]}
        self.history = self.body["input"]

    def say(self, text):
        self.history.append({"role": "user", "content": text})

    def take(self, answer):
        calls = [item for item in answer["output"] if item["type"] == "function_call"]
        self.history.extend(answer["output"])
        for call in calls:
            self.history.append({"type": "function_call_output", "call_id": call["call_id"],
                                 "output": result_of(call["name"], json.loads(call["arguments"]))})
        return bool(calls)


CLIENTS = {"messages": Messages, "chat": Chat, "responses": Responses}


def result_of(tool, arguments):
    if tool == "lookup":
        files = {"one.txt": "The first file holds a quartz.", "two.txt": "The second file holds an opal."}
        return files[Path(arguments["path"]).name]
    return {"counter__count": f"counted {arguments.get('key')}", "everything__echo": f"Echo: {arguments.get('message')}",
            "everything__get-sum": "The sum of 19 and 23 is 42."}[tool]


def post(url, api, body):
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"} if api == "messages" else {
        "authorization": f"Bearer {KEY}"}
    return httpx.post(url + PATH[api], json=body, headers=headers)


def played(url, api, play, turns=1, case="good"):
    """A conversation up to the request that comes after its last call's result."""
    client = CLIENTS[api]()
    for turn in range(1, turns + 1):
        client.say(f"play:{play} case:{case} turn:{turn} work:/work end")
        while True:
            before = deepcopy(client.body)
            answer = post(url, api, client.body)
            assert answer.status_code == 200, answer.text
            if not client.take(answer.json()):
                break
    return client, before


@pytest.mark.parametrize("api", CLIENTS)
@pytest.mark.parametrize("play, turns", [("injected", 1), ("mixed", 1), ("parallel", 1), ("turns", 3)])
def test_conversation_that_is_kept_is_played_to_its_end(url, api, play, turns):
    played(url, api, play, turns, f"{play}{api}")
    account = httpx.get(f"{url}/_case/{play}{api}").json()
    assert account["violations"] == []
    assert account["requests"][-1]["turn"] == turns


def last_calls(api, history):
    """Where the last round's first item with calls stands."""
    name, value = ("type", "function_call") if api == "responses" else ("role", "assistant")
    return max(index for index, entry in enumerate(history) if entry.get(name) == value)


def without_results(api, history):
    del history[last_calls(api, history) + 1:]



def with_other_text(api, history):
    for entry in history:
        if api == "messages" and entry["role"] == "assistant":
            entry["content"][1]["text"] = "Other words."
        elif api == "chat" and entry["role"] == "assistant":
            entry["content"] = "Other words."
        elif api == "responses" and entry.get("role") == "assistant":
            entry["content"][0]["text"] = "Other words."


def with_other_arguments(api, history):
    entry = history[last_calls(api, history)]
    if api == "messages":
        entry["content"][-1]["input"] = {"key": "forged"}
    elif api == "chat":
        entry["tool_calls"][0]["function"]["arguments"] = '{"key": "forged"}'
    else:
        entry["arguments"] = '{"key": "forged"}'


def with_other_result(api, history):
    entry = history[-1]
    if api == "messages":
        entry["content"][0]["content"] = "counted by nobody"
    else:
        entry["content" if api == "chat" else "output"] = "counted by nobody"


def with_unknown_id(api, history):
    text = json.dumps(history[1:])
    mark = text.split("_t1r1")[0].rsplit("_", 1)[1]
    history[1:] = json.loads(text.replace(f"_{mark}_", "_000000000000_"))


@pytest.mark.parametrize("api", CLIENTS)
@pytest.mark.parametrize("spoil", [without_results, with_other_text, with_other_arguments, with_other_result,
                                   with_unknown_id], ids=lambda spoil: spoil.__name__)
def test_spoilt_round_is_refused_and_kept(url, api, spoil):
    case = f"{spoil.__name__}{api}".replace("_", "")
    _, body = played(url, api, "injected", case=case)
    spoil(api, body["messages"] if "messages" in body else body["input"])
    assert post(url, api, body).status_code == 400
    assert len(httpx.get(f"{url}/_case/{case}").json()["violations"]) == 1


@pytest.mark.parametrize("api", CLIENTS)
def test_forgotten_round_of_an_earlier_turn_is_refused(url, api):
    client, _ = played(url, api, "turns", case=f"forgotten{api}")
    first, last = client.history[0], client.history[-1]
    client.history[:] = [first, last]
    client.say(f"play:turns case:forgotten{api} turn:2 work:/work end")
    answer = post(url, api, client.body)
    assert answer.status_code == 400 and "came back" in answer.text


@pytest.mark.parametrize("spoil, words", [
    (lambda body: body["messages"][1]["content"].pop(0), "came back changed"),
    (lambda body: body["messages"].insert(0, {"role": "user", "content": "Before."}), "bound to a different"),
    (lambda body: body["tools"].pop(), "bound to a different"),
    (lambda body: body.update(system="Be brief."), "bound to a different"),
    (lambda body: body["messages"][1]["content"][0].update(thinking="Else."), "came back changed"),
    (lambda body: body["messages"][2]["content"].insert(0, {"type": "text", "text": "x"}), "must come first"),
], ids=["without-thinking", "other-history", "other-tools", "other-system", "other-thinking", "text-before-results"])
def test_thinking_stays_where_it_was_thought(url, spoil, words):
    _, body = played(url, "messages", "injected", case="thinking")
    spoil(body)
    answer = post(url, "messages", body)
    assert answer.status_code == 400 and words in answer.text


def test_moved_cache_marker_changes_nothing(url):
    _, body = played(url, "messages", "injected", case="marker")
    body["messages"][0]["content"] = [
        {"type": "text", "text": body["messages"][0]["content"], "cache_control": {"type": "ephemeral"}}]
    assert post(url, "messages", body).status_code == 200


def test_part_of_an_answer_may_come_back_from_a_client_that_was_cut(url):
    _, body = played(url, "messages", "injected", case="torn")
    body["messages"][1]["content"].pop()
    body["messages"][2]["content"] = "Your response above was cut off."
    answer = post(url, "messages", body)
    assert answer.status_code == 200 and answer.json()["stop_reason"] == "tool_use"


@pytest.mark.parametrize("api", CLIENTS)
def test_side_request_is_answered(url, api):
    client = CLIENTS[api]()
    client.say("A title for: play:injected case:aside turn:1 work:/work end")
    del client.body["tools"]
    assert "A quiet afternoon" in post(url, api, client.body).text


@pytest.mark.parametrize("api", CLIENTS)
@pytest.mark.parametrize("stream", [True, False])
def test_scripted_failures_happen_once_each(url, api, stream):
    case = f"error{api}{stream}"
    client = CLIENTS[api]()
    client.body["stream"] = False
    client.say(f"play:error case:{case} turn:1 work:/work end")
    client.take(post(url, api, client.body).json())
    assert post(url, api, client.body).status_code == 500
    client.take(post(url, api, client.body).json())
    failed = post(url, api, client.body | {"stream": stream})
    assert failed.status_code == (200 if stream else 500) and "overloaded" in failed.text
    assert post(url, api, client.body).status_code == 200
    assert httpx.get(f"{url}/_case/{case}").json()["failures"] == 2

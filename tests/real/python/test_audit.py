"""The audit says who called what, with what outcome, what it cost and what the model thought."""

import json
import os
import subprocess
import time

import anthropic
import pytest

import test_messages
from expected import CALLERS_KEY, new_case, prompt, scenarios

OUTCOMES = {
    "plain": [],
    "thinking-call": ["ok"],
    "parallel-two": ["ok", "ok"],
    "mixed-turn": ["ok", "released"],
    "tool-error": ["tool_error"],
    "tool-timeout": ["timed_out", "ok"],
    "bad-arguments": ["invalid_arguments", "ok"],
    "round-cap": ["ok", "ok", "ok", "cap_reached", "cap_reached"],
    "real-servers": ["ok", "ok", "ok", "ok"],
}
SCRIPTS = [scenario for scenario in scenarios("messages") if scenario.name in OUTCOMES]


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_record_tells_the_whole_story(gateway, script):
    client = anthropic.Anthropic(base_url=gateway, api_key=CALLERS_KEY, max_retries=0)
    case, leg = new_case(), script.legs[0]
    answer = test_messages.ask(client.messages.with_raw_response, "whole", script,
                               [{"role": "user", "content": prompt(case)}])
    record = ended_record(answer.headers["x-toolgate-interception"])

    end = record["end"]
    assert (record["outcome"], end["status"], end["error"]) == ("completed", 200, None)
    assert end["stop_reason"] == ("tool_use" if leg.calls else "end_turn")
    words = [entry["prompt"]["text"] for entry in record["prompt_usage"] if entry["role"] == "user"]
    assert words == [prompt(case)]
    assert [(entry["round"], entry["response_id"]) for entry in record["token_usage"]] == [
        (entry.number, f"msg_{case}_r{entry.number}") for entry in leg.rounds]
    assert [entry["tokens"]["output"] for entry in record["token_usage"]] == [
        entry.usage["output"] for entry in leg.rounds]
    assert [entry["thought"]["text"] for entry in record["model_thought"]] == [
        entry.thinking for entry in leg.rounds if entry.thinking]
    check_calls(record["tool_usage"], script, case)


def check_calls(calls, script, case):
    """One entry for each call of the script, in its order, with the tool that was really called."""
    wanted = [(f"toolu_{case}_r{entry.number}_{index}", call["tool"], call["arguments"])
              for entry in script.legs[0].rounds for index, call in enumerate(entry.calls)]
    calls = sorted(calls, key=lambda call: call["call_id"])
    assert [(call["call_id"], call["tool"], json.loads(call["arguments"]["text"])) for call in calls] == wanted
    assert [call["outcome"] for call in calls] == OUTCOMES[script.name]
    for call in calls:
        assert call["injected"] == (call["tool"] not in script.tools)
        if call["injected"]:
            assert call["server"] == call["tool"].split("__")[0] and call["server_url"]
        if call["outcome"] in ("ok", "tool_error", "timed_out"):
            assert f"{call['server']}__{call['server_tool']}" == call["tool"] and call["rule"]


def ended_record(interception):
    """The record, once its end is in the database: it gets there off the response's path."""
    deadline = time.monotonic() + 30
    while True:
        record = json.loads(audit("show", interception, "--json"))
        if record["end"] or time.monotonic() > deadline:
            return record


def audit(*arguments):
    return subprocess.run([os.environ["TOOLGATE_BIN"], "audit", *arguments, "--config", os.environ["REAL_CONFIG"]],
                          check=True, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60).stdout

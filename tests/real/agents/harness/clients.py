"""The clients: how each is told where the gateway is, and how it is asked, headless.

An agent is started once for each prompt and resumes its conversation by itself. A framework's program is started once,
with all prompts, and keeps the history as the framework does.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

PROGRAMS = Path(__file__).parent.parent / "programs"
MODEL = "claude-sonnet-4-5"
KEY = "the-callers-own-key"


def _versions():
    here = Path(__file__).parent.parent
    found = dict(json.loads((here / "node" / "package.json").read_text(encoding="utf-8"))["dependencies"])
    pins = (here / "python" / "requirements.txt").read_text(encoding="utf-8").split()
    return found | dict(pin.split("==") for pin in pins if "==" in pin)


VERSIONS = _versions()


@dataclass(frozen=True)
class Client:
    name: str
    api: str
    package: str
    ask: Callable
    """`(seat, prompts so far, patience)` to how it ran; all prompts at once if it takes them so."""
    at_once: bool = False

    @property
    def version(self):
        """What is pinned."""
        return VERSIONS[self.package]


def claude_code(seat, prompts, patience):
    environment = {
        "ANTHROPIC_BASE_URL": f"{seat.gateway}/anthropic", "ANTHROPIC_API_KEY": KEY, "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    resume = ["--continue"] if len(prompts) > 1 else []
    return seat.run(["claude", "-p", prompts[-1], "--model", MODEL, "--allowedTools", "Read", *resume],
                    environment, patience)


def codex(seat, prompts, patience):
    seat.write(".codex/config.toml", f"""
model = "gpt-5.1-codex"
model_provider = "gateway"
[analytics]
enabled = false
[model_providers.gateway]
name = "gateway"
base_url = "{seat.gateway}/openai/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
""")
    resume = ["resume", "--last"] if len(prompts) > 1 else []
    return seat.run(["codex", "exec", *resume, "--json", "--skip-git-repo-check", prompts[-1]],
                    {"GATEWAY_KEY": KEY}, patience)


def opencode(package, route, options):
    def ask(seat, prompts, patience):
        provider = {"npm": package, "options": {"baseURL": f"{seat.gateway}/{route}/v1", "apiKey": KEY},
                    "models": {MODEL: {"reasoning": bool(options), "options": options}}}
        seat.write("work/opencode.json", json.dumps({
            "provider": {"gateway": provider}, "agent": {"title": {"disable": True}}, "share": "disabled",
            "autoupdate": False}))
        environment = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1",
                       "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"}
        resume = ["--continue"] if len(prompts) > 1 else []
        program = str(seat.bin.parent / "opencode-linux-x64" / "bin" / "opencode")
        return seat.run([program, "run", *resume, "-m", f"gateway/{MODEL}", prompts[-1]], environment, patience)
    return ask


def continue_cli(seat, prompts, patience):
    seat.write("config.yaml", json.dumps({"name": "agents", "version": "1.0.0", "schema": "v1", "models": [{
        "name": "scripted", "provider": "openai", "model": "gpt-scripted", "apiBase": f"{seat.gateway}/openai/v1",
        "apiKey": KEY, "roles": ["chat"], "capabilities": ["tool_use"]}]}))
    resume = ["--resume"] if len(prompts) > 1 else []
    return seat.run(["cn", "-p", prompts[-1], *resume, "--auto", "--config", str(seat.home / "config.yaml")],
                    {"CONTINUE_TELEMETRY_ENABLED": "0", "CONTINUE_CLI_AUTO_UPDATED": "true"}, patience)


def pi(seat, prompts, patience):
    seat.write(".pi/agent/models.json", json.dumps({"providers": {"gateway": {
        "baseUrl": f"{seat.gateway}/anthropic", "api": "anthropic-messages", "apiKey": KEY, "models": [{
            "id": MODEL, "name": MODEL, "reasoning": True, "input": ["text"], "contextWindow": 200000,
            "maxTokens": 32000, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}]}}}))
    resume = ["--continue"] if len(prompts) > 1 else []
    return seat.run(["pi", "-p", *resume, "--provider", "gateway", "--model", MODEL, "--thinking", "low", prompts[-1]],
                    {"PI_SKIP_VERSION_CHECK": "1", "PI_OFFLINE": "1"}, patience)


def copilot(seat, prompts, patience):
    environment = {
        "COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false", "COPILOT_MODEL": "gpt-scripted",
        "COPILOT_PROVIDER_BASE_URL": f"{seat.gateway}/openai/v1", "COPILOT_PROVIDER_API_KEY": KEY,
        "COPILOT_PROVIDER_WIRE_API": "responses", "COPILOT_PROVIDER_MAX_PROMPT_TOKENS": "100000",
        "COPILOT_PROVIDER_MAX_OUTPUT_TOKENS": "8000"}
    resume = ["--continue"] if len(prompts) > 1 else []
    return seat.run(["copilot", "-p", prompts[-1], *resume, "--allow-all-tools", "--allow-all-paths"], environment,
                    patience)


def program(name):
    """A program of ours that uses a framework: it gets the gateway's address, the folder and all prompts."""
    def ask(seat, prompts, patience):
        if name.endswith(".mjs"):
            command = ["node", str(Path(os.environ["AGENTS_SCRATCH"]) / "programs" / name)]
        else:
            command = [str(seat.python / "python"), str(PROGRAMS / name)]
        return seat.run([*command, seat.gateway, KEY, *prompts],
                        {"OPENAI_AGENTS_DISABLE_TRACING": "1", "LANGSMITH_TRACING": "false"}, patience)
    return ask


THINKING = {"thinking": {"type": "enabled", "budgetTokens": 2000}}
CLIENTS = [
    Client("Claude Code", "messages", "@anthropic-ai/claude-code", claude_code),
    Client("Codex", "responses", "@openai/codex", codex),
    Client("opencode", "messages", "opencode-linux-x64", opencode("@ai-sdk/anthropic", "anthropic", THINKING)),
    Client("opencode", "chat", "opencode-linux-x64", opencode("@ai-sdk/openai-compatible", "openai", {})),
    Client("Continue", "chat", "@continuedev/cli", continue_cli),
    Client("pi", "messages", "@mariozechner/pi-coding-agent", pi),
    Client("Copilot CLI", "responses", "@github/copilot", copilot),
    Client("openai-agents", "responses", "openai-agents", program("openai_agents.py"), at_once=True),
    Client("openai-agents", "chat, whole answers", "openai-agents", program("openai_agents_whole.py"), at_once=True),
    Client("Vercel AI SDK", "responses", "ai", program("ai_sdk.mjs"), at_once=True),
    Client("LangChain", "chat", "langchain", program("langchain_chat.py"), at_once=True),
    Client("pydantic-ai", "messages", "pydantic-ai-slim", program("pydantic_ai_messages.py"), at_once=True),
]
SDKS = [
    Client("anthropic for Python", "messages", "anthropic", program("anthropic_sdk.py"), at_once=True),
    Client("anthropic for JavaScript", "messages", "@anthropic-ai/sdk", program("anthropic_sdk.mjs"), at_once=True),
    Client("openai for Python", "responses", "openai", program("openai_sdk.py"), at_once=True),
    Client("openai for JavaScript", "chat", "openai", program("openai_sdk.mjs"), at_once=True),
]

"""pydantic-ai over Messages, streamed, with thinking, and the history that each run gives back."""

from anthropic import AsyncAnthropic
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.providers.anthropic import AnthropicProvider

from lookup import ask_all, lookup


def start(gateway, key):
    provider = AnthropicProvider(anthropic_client=AsyncAnthropic(base_url=f"{gateway}/anthropic", api_key=key))
    settings = AnthropicModelSettings(max_tokens=8000, anthropic_thinking={"type": "enabled", "budget_tokens": 2000})
    agent = Agent(AnthropicModel("claude-sonnet-4-5", provider=provider), model_settings=settings, tools=[lookup],
                  instructions="Be brief.")
    history = []

    async def ask(prompt):
        result = await agent.run(prompt, message_history=history, event_stream_handler=read)
        history[:] = result.all_messages()
        return result.output

    return ask


async def read(_context, events):
    """Takes the events as they stream; without it, pydantic-ai asks for whole answers."""
    async for _ in events:
        pass


ask_all(start)

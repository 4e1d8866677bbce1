"""openai-agents over Responses, streamed, with reasoning, and the history in the program's own hands."""

from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner, function_tool
from openai import AsyncOpenAI
from openai.types.shared import Reasoning

from lookup import ask_all, lookup


def start(gateway, key):
    model = OpenAIResponsesModel("gpt-5.1", AsyncOpenAI(base_url=f"{gateway}/openai/v1", api_key=key))
    settings = ModelSettings(store=False, reasoning=Reasoning(summary="auto"),
                             response_include=["reasoning.encrypted_content"])
    agent = Agent(name="reader", instructions="Be brief.", model=model, model_settings=settings,
                  tools=[function_tool(lookup)])
    history = []

    async def ask(prompt):
        result = Runner.run_streamed(agent, history + [{"role": "user", "content": prompt}])
        async for _ in result.stream_events():
            pass
        history[:] = result.to_input_list()
        return result.final_output

    return ask


ask_all(start)

"""openai-agents over Chat Completions, with whole answers, and the history in the program's own hands."""

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool
from openai import AsyncOpenAI

from lookup import ask_all, lookup


def start(gateway, key):
    model = OpenAIChatCompletionsModel("gpt-scripted", AsyncOpenAI(base_url=f"{gateway}/openai/v1", api_key=key))
    agent = Agent(name="reader", instructions="Be brief.", model=model, tools=[function_tool(lookup)])
    history = []

    async def ask(prompt):
        result = await Runner.run(agent, history + [{"role": "user", "content": prompt}])
        history[:] = result.to_input_list()
        return result.final_output

    return ask


ask_all(start)

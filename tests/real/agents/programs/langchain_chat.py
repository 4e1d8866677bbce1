"""LangChain over Chat Completions, streamed, with LangGraph's own memory."""

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from lookup import ask_all, lookup


def start(gateway, key):
    model = ChatOpenAI(model="gpt-scripted", base_url=f"{gateway}/openai/v1", api_key=key, streaming=True,
                       use_responses_api=False)
    agent = create_agent(model, [lookup], system_prompt="Be brief.")
    history = []

    async def ask(prompt):
        state = await agent.ainvoke({"messages": history + [{"role": "user", "content": prompt}]})
        history[:] = state["messages"]
        return history[-1].text

    return ask


ask_all(start)

"""The anthropic SDK, streamed, with its own time-outs: one answer, and the text of it."""

import sys

from anthropic import Anthropic

gateway, key, prompt = sys.argv[1:]
TOOL = {"name": "lookup", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}
client = Anthropic(base_url=f"{gateway}/anthropic", api_key=key)
history = [{"role": "user", "content": prompt}]
with client.messages.stream(model="claude-sonnet-4-5", max_tokens=4000, tools=[TOOL], messages=history) as stream:
    print(stream.get_final_message().content[-1].text)

"""The openai SDK over Responses, streamed, with its own time-outs: one answer, and the text of it."""

import sys

from openai import OpenAI

gateway, key, prompt = sys.argv[1:]
TOOL = {"type": "function", "name": "lookup", "strict": False,
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}
with OpenAI(base_url=f"{gateway}/openai/v1", api_key=key).responses.stream(
        model="gpt-5.1", store=False, tools=[TOOL], input=prompt) as stream:
    stream.until_done()
    print(stream.get_final_response().output_text)

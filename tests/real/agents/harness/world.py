"""What is up during a run: the gateway, the provider and the counter, with what they can tell about a case."""

import itertools
import json
import os
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class World:
    gateway: str
    provider: str
    counter: Path
    scratch: Path

    @classmethod
    def from_environment(cls):
        return cls(os.environ["GATEWAY_URL"], os.environ["PROVIDER_URL"], Path(os.environ["COUNTER_FILE"]),
                   Path(os.environ["AGENTS_SCRATCH"]))

    def wait(self):
        """Waits until the gateway has its tools: one of each server answers to a request like any other."""
        tool = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}
        until = time.monotonic() + 60
        for number in itertools.count():
            prompt = f"play:ready case:ready{number} turn:1 work:/ end"
            body = {"model": "gpt-scripted", "tools": [tool], "messages": [{"role": "user", "content": prompt}]}
            request = urllib.request.Request(f"{self.gateway}/openai/v1/chat/completions", json.dumps(body).encode(),
                                             {"content-type": "application/json", "authorization": "Bearer any"})
            try:
                with urllib.request.urlopen(request):
                    return
            except urllib.error.HTTPError as error:
                if time.monotonic() > until:
                    raise RuntimeError(f"the gateway has no tools: {error.read().decode()}") from error
                time.sleep(0.2)

    def case(self, case):
        """The provider's account of a case."""
        with urllib.request.urlopen(f"{self.provider}/_case/{case}") as page:
            return json.load(page)

    def counted(self, case):
        """How often each of the case's calls was counted, by the call's key."""
        marks = set(self.case(case)["marks"])
        lines = self.counter.read_text(encoding="utf-8").split()
        return Counter(line for line in lines if line.partition("-")[0] in marks)

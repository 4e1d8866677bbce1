"""What is up during a run: the gateway, the provider and the counter, with what they can tell about a case."""

import json
import os
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

    def case(self, case):
        """The provider's account of a case."""
        with urllib.request.urlopen(f"{self.provider}/_case/{case}") as page:
            return json.load(page)

    def counted(self, case):
        """How often each of the case's calls was counted, by the call's key."""
        marks = set(self.case(case)["marks"])
        lines = self.counter.read_text(encoding="utf-8").split()
        return Counter(line for line in lines if line.partition("-")[0] in marks)

"""Calls of each server that can answer without the network, all the time, as an MCP client of the modern era."""

import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

# One tool of each server, cheap and without a side effect.
CALLS = {
    "calc": ("math", {"expression": "6*7"}),
    "everything": ("echo", {"message": "hello"}),
    "everything-http": ("echo", {"message": "hello"}),
    "files": ("list_allowed_directories", {}),
    "git": ("git_status", {"repo_path": "{scratch}/repository"}),
    "kubernetes": ("configuration_view", {}),
    "kubernetes-http": ("configuration_view", {}),
    "memory": ("read_graph", {}),
    "motherduck-http": ("list_databases", {}),
    "sqlite": ("list_tables", {}),
    "thinking": ("sequentialthinking", {"thought": "hm", "nextThoughtNeeded": False, "thoughtNumber": 1,
                                        "totalThoughts": 1}),
    "time": ("get_current_time", {"timezone": "UTC"}),
}


@dataclass
class Call:
    server: str
    began: float
    ended: float
    failure: str | None


class Load:
    """One thread a server, until it is told to stop."""

    def __init__(self, url, scratch, pause):
        self.url, self.scratch, self.pause = url, scratch, pause
        self.calls, self.stopping = [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(server,)) for server in CALLS]
        for thread in self.threads:
            thread.start()

    def run(self, server):
        tool, arguments = CALLS[server]
        arguments = json.loads(json.dumps(arguments).replace("{scratch}", str(self.scratch)))
        while not self.stopping.wait(self.pause):
            began = time.monotonic()
            failure = call(self.url, server, tool, arguments)
            self.calls.append(Call(server, began, time.monotonic(), failure))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return self.calls


def call(url, server, tool, arguments):
    """Calls a tool; gives what went wrong, if anything."""
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "chaos", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments, "_meta": meta}}
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream",
               "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": tool}
    request = urllib.request.Request(f"{url}/mcp/{server}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code}: {error.read().decode()[:300]}"
    except OSError as error:
        return repr(error)
    message = next((line[5:] for line in text.splitlines() if line.startswith("data:") and "result" in line), text)
    try:
        result = json.loads(message)["result"]
    except (ValueError, KeyError):
        return f"no result: {text[:300]}"
    return json.dumps(result)[:300] if result.get("isError") else None

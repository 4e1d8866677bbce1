"""A real MCP server with a side effect: what it counts stays, a line for each count, in the file $COUNTER_FILE."""

import os

import anyio
from mcp.server.mcpserver import MCPServer

server = MCPServer("counter")


def note(key: str) -> str:
    """Adds a line in one write, so that parallel calls cannot mix theirs."""
    with open(os.environ["COUNTER_FILE"], "a", encoding="utf-8") as file:
        file.write(f"{key}\n")
    return f"counted {key}"


@server.tool()
async def count(key: str) -> str:
    """Counts once more under this key."""
    return note(key)


@server.tool()
async def count_slowly(key: str) -> str:
    """Counts once more under this key, after a second."""
    await anyio.sleep(1)
    return note(key)


@server.tool()
async def wait(seconds: float) -> str:
    """Waits for so many seconds."""
    await anyio.sleep(seconds)
    return f"waited {seconds:g} s"


if __name__ == "__main__":
    server.run("stdio")

"""Real MCP servers: `toolgate check` connects to all of them and shows what the model will see."""

import os
import re
import subprocess

CONFIG = os.environ["REAL_CONFIG"]
TOOLS = {
    "everything": {"echo", "get-sum", "get-tiny-image", "trigger-long-running-operation"},
    "remote": {"echo", "get-structured-content"},
    "slow": {"trigger-long-running-operation"},
    "files": {"read_text_file", "list_allowed_directories", "read_multiple_files"},
    "calc": {"math", "hash", "base64"},
    "time": {"get_current_time", "convert_time"},
}
HIDDEN = {"everything__get-env", "remote__get-sum", "slow__echo", "files__write_file", "files__move_file"}


def test_check_connects_and_lists():
    """Each server is there with its approved tools, under the names that the model sees; what is not allowed is not."""
    done = subprocess.run([os.environ["TOOLGATE_BIN"], "check", "--config", CONFIG], text=True, timeout=120,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    listed = set(re.findall(r"\b[a-z]+__[A-Za-z0-9_-]+", done.stdout))
    assert {f"{server}__{tool}" for server, tools in TOOLS.items() for tool in tools} <= listed, done.stdout
    assert not HIDDEN & listed

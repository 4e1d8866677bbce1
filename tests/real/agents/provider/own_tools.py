"""How a client reads a file with a tool of its own, found among the tools that it offers."""

import posixpath

from script import Refused

READERS = ("Read", "read", "view", "read_file", "exec_command", "lookup")
ARGUMENTS = {
    "file_path": posixpath.join,
    "filePath": posixpath.join,
    "filepath": posixpath.join,
    "path": posixpath.join,
    "cmd": lambda _work, file: f"cat {file}",
}


def read_call(offered, work, file):
    """The tool and the arguments with which this client reads `file` in its folder."""
    for name in READERS:
        for argument, value in ARGUMENTS.items():
            if argument in offered.get(name, {}).get("properties", {}):
                return name, {argument: value(work, file)}
    raise Refused(f"The script knows no tool to read a file with among {sorted(offered)}.")

"""Where a client runs: a home and a folder of its own, and an environment with nothing in it."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

FILES = {"one.txt": "The first file holds a quartz.\n", "two.txt": "The second file holds an opal.\n"}


@dataclass
class Ran:
    """How one start of a client ended."""

    code: int
    output: str
    errors: str


@dataclass
class Seat:
    """A scratch home with a folder to work in, which holds the two files that the plays read."""

    home: Path
    bin: Path
    """Where npm put the programs, a newer Node among them."""
    python: Path
    gateway: str
    """The line to the gateway."""
    environment: dict = field(default_factory=dict)

    @classmethod
    def at(cls, scratch, gateway):
        home = Path(tempfile.mkdtemp(prefix="home-", dir=scratch))
        seat = cls(home, Path(os.environ["AGENTS_NODE"]) / ".bin", Path(os.environ["AGENTS_PYTHON"]), gateway)
        seat.work.mkdir()
        for name, text in FILES.items():
            (seat.work / name).write_text(text, encoding="utf-8")
        return seat

    @property
    def work(self):
        return self.home / "work"

    def write(self, path, text):
        """Writes a file below the home."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def run(self, command, environment, patience):
        base = {"HOME": str(self.home), "PATH": f"{self.bin}:{self.python}:/usr/bin:/bin", "TERM": "dumb",
                "NO_PROXY": "*", "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(command, env=base | environment, cwd=self.work, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                                   start_new_session=True)
        try:
            output, errors = process.communicate(timeout=patience)
            return Ran(process.returncode, output, errors)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, errors = process.communicate()
            return Ran(-1, output or "", f"did not end within {patience} s\n{errors or ''}")

    def clear(self):
        shutil.rmtree(self.home, ignore_errors=True)

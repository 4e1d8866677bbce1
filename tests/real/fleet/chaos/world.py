"""The gateway, the HTTP servers beside it, and what the system knows of their processes."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(os.environ["FLEET_HERE"])
SCRATCH = Path(os.environ["FLEET_SCRATCH"])
NODE, PYTHON = Path(os.environ["FLEET_NODE"]), Path(os.environ["FLEET_PYTHON"])


class HttpServer:
    """An MCP server over HTTP, which comes back at the same port."""

    def __init__(self, name, command, environment=None):
        self.name, self.command, self.environment = name, command, environment or {}
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        environment = {**os.environ, **self.environment, "PORT": str(self.port)}
        command = [str(part).replace("{port}", str(self.port)) for part in self.command]
        log = open(SCRATCH / f"{self.name}.log", "ab")
        self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


class World:
    def __init__(self):
        self.http = {server.name: server for server in [
            HttpServer("everything-http", [NODE / "mcp-server-everything", "streamableHttp"],
                       {"NODE_OPTIONS": f"--require {HERE / 'loopback.cjs'}"}),
            HttpServer("kubernetes-http", [NODE.parent / "kubernetes-mcp-server-linux-amd64/bin/kubernetes-mcp-server-linux-amd64", "--kubeconfig", SCRATCH / "kubeconfig",
                                           "--port", "{port}", "--bind-address", "127.0.0.1"]),
            HttpServer("motherduck-http", [PYTHON / "mcp-server-motherduck", "--db-path", ":memory:", "--read-write",
                                           "--transport", "http", "--host", "127.0.0.1", "--port", "{port}"],
                       {"FASTMCP_CHECK_FOR_UPDATES": "off", "FASTMCP_SHOW_SERVER_BANNER": "false"}),
        ]}
        environment = {**os.environ, "EVERYTHING_URL": self.http["everything-http"].url,
                       "KUBERNETES_URL": self.http["kubernetes-http"].url,
                       "MOTHERDUCK_URL": self.http["motherduck-http"].url}
        config = HERE / "fleet/config/toolgate.yaml"
        self.gateway = subprocess.Popen(
            [os.environ["TOOLGATE_BIN"], "--log", "warn", "serve", "--config", config], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(SCRATCH / "gateway.err", "wb"), text=True)
        self.url = re.search(r"http://\S+", self.gateway.stdout.readline()).group()
        # Whatever the gateway starts leads a group of its own; this remembers each of them.
        self.groups = set()

    def statuses(self):
        with urllib.request.urlopen(f"{self.url}/api/v1/servers", timeout=30) as page:
            servers = json.load(page)["servers"]
        return {server["name"]: server for server in servers}

    def wait_ready(self, names, seconds):
        """Waits until these servers are ready; gives the time that it took."""
        began = time.monotonic()
        while True:
            statuses = self.statuses()
            left = {name: statuses[name] for name in names if statuses[name]["state"] != "ready"}
            if not left:
                return time.monotonic() - began
            if time.monotonic() - began > seconds:
                raise AssertionError(f"not ready after {seconds} s: {json.dumps(left, indent=1)}")
            time.sleep(0.05)

    def children(self):
        """The gateway's own children by server, with their process ids."""
        found = {}
        for pid in pids():
            try:
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if int(stat[1]) == self.gateway.pid and stat[0] != "Z":
                self.groups.add(int(stat[2]))
                found.setdefault(server_of(command), []).append(pid)
        return found

    def kill(self, name):
        """Kills a server as a crash would; an HTTP server is started again at once."""
        if name in self.http:
            self.http[name].kill()
            self.http[name].start()
        else:
            pids = self.children().get(name, [])
            assert len(pids) == 1, f"{name}: {len(pids)} children, not 1"
            os.kill(pids[0], signal.SIGKILL)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.gateway.pid}/fd"))

    def memory(self):
        """Resident memory of the gateway, MiB."""
        status = Path(f"/proc/{self.gateway.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def zombies(self):
        """Ended children that the gateway has not taken leave of."""
        count = 0
        for pid in pids():
            try:
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            count += int(stat[1]) == self.gateway.pid and stat[0] == "Z"
        return count

    def orphans(self):
        """Processes of groups that the gateway once started."""
        left = []
        for pid in pids():
            try:
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[2]) in self.groups and stat[0] != "Z":
                left.append(pid)
        return left

    def close(self):
        self.gateway.send_signal(signal.SIGTERM)
        code = self.gateway.wait(timeout=60)
        return code

    def abandon(self):
        """Ends all that is left, whatever happened."""
        for process in [self.gateway, *(server.process for server in self.http.values())]:
            if process.poll() is None:
                process.kill()
                process.wait()
        for pid in self.orphans():
            os.kill(pid, signal.SIGKILL)


def server_of(command):
    """Which server a child's command line is of, by the configuration's file."""
    line = " ".join(command)
    for name, part in COMMANDS.items():
        if part in line:
            return name
    return line


def commands():
    found = {}
    for path in sorted((HERE / "fleet/config/mcp-servers").glob("*.yaml")):
        text = path.read_text()
        if "transport: stdio" in text:
            command = re.search(r"^command: (.*)$", text, re.M).group(1)
            if command == "node":
                command = re.search(r'^args: \["([^"]*)"', text, re.M).group(1)
            found[path.stem] = os.path.expandvars(command)
    return found


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def free_port():
    import socket
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


COMMANDS = commands()

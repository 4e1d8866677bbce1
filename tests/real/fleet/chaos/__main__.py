"""Kills each server of the fleet again and again, and looks whether anyone else notices."""

import argparse
import os
import random
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from load import CALLS, Load
from world import COMMANDS, World

# Until a killed server is back: its back-off, which starts below a second and grows, and its start.
PATIENCE = 90
# Servers that are down at once.
AT_ONCE = 3
# How much memory the gateway may have more of after all than when it was warm.
GROWTH = 1.25


def main():
    arguments = argparse.ArgumentParser(prog="chaos")
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = arguments.parse_args()
    print(f"fleet: {arguments.kills} kills of each server, seed {arguments.seed}")
    world = World()
    try:
        run(world, arguments.kills, random.Random(arguments.seed))
    finally:
        world.abandon()


def run(world, kills, chance):
    names = [*COMMANDS, *world.http]
    took = world.wait_ready(names, 240)
    statuses = world.statuses()
    tools = sum(len(status["approved"]) for status in statuses.values())
    print(f"{len(names)} servers with {tools} tools are ready after {took:.1f} s")
    assert len(names) >= 20

    load = Load(world.url, Path(os.environ["FLEET_SCRATCH"]), pause=0.2)
    time.sleep(5)
    warm_calls = list(load.calls)
    broken = {call.server: call.failure for call in warm_calls if call.failure}
    assert not broken and {call.server for call in warm_calls} == set(CALLS), f"before any kill: {broken}"
    descriptors = world.descriptors()

    outages = Outages(world, names, kills, chance)
    half = len(outages.plan) // 2
    outages.run(outages.plan[:half])
    memory = world.memory()
    outages.run(outages.plan[half:])
    world.wait_ready(names, PATIENCE)
    time.sleep(2)
    calls = load.stop()
    judge(world, calls, outages, descriptors, memory)


class Outages:
    """When which server was killed, and when it was back."""

    def __init__(self, world, names, kills, chance):
        self.world = world
        self.plan = names * kills
        chance.shuffle(self.plan)
        self.times = {name: [] for name in names}
        self.locks = {name: threading.Lock() for name in names}

    def run(self, plan):
        with ThreadPoolExecutor(AT_ONCE) as killers:
            for done in [killers.submit(self.kill, name) for name in plan]:
                done.result()

    def kill(self, name):
        with self.locks[name]:
            connected = self.world.statuses()[name]["since"]
            began = time.monotonic()
            self.world.kill(name)
            self.wait_back(name, connected, began)
            self.times[name].append((began, time.monotonic()))

    def wait_back(self, name, connected, began):
        """A server is back when it is ready, and has been something else since it was killed.

        Servers over HTTP without a session may never be missed: one that answers a call is back.
        """
        while time.monotonic() - began < PATIENCE:
            status = self.world.statuses()[name]
            if status["state"] == "ready" and (status["since"] != connected or self.answers_again(name)):
                return
            time.sleep(0.1)
        raise AssertionError(f"{name} is not back after {PATIENCE} s: {self.world.statuses()[name]}")

    def answers_again(self, name):
        if name not in self.world.http:
            return False
        from load import call
        tool, arguments = CALLS[name]
        return call(self.world.url, name, tool, arguments) is None

    def hit(self, call):
        """Whether a call overlaps with an outage of its server."""
        return any(began <= call.ended and call.began <= ended for began, ended in self.times[call.server])


def judge(world, calls, outages, descriptors, memory):
    failures = [call for call in calls if call.failure]
    unfounded = [call for call in failures if not outages.hit(call)]
    back = sorted(ended - began for times in outages.times.values() for began, ended in times)
    print(f"{len(back)} kills: back after {statistics.median(back):.1f} s (median), {back[-1]:.1f} s (longest)")
    print(f"{len(calls)} calls, {len(failures)} of them failed, all but {len(unfounded)} on a server that was down")
    growth = world.memory() / memory
    print(f"memory {memory:.0f} MiB after half of the kills, {world.memory():.0f} MiB after all; "
          f"descriptors {descriptors} before, {world.descriptors()} after")
    assert not unfounded, unfounded[:5]
    assert growth < GROWTH, f"memory grew to {growth:.2f} times"
    assert world.descriptors() <= descriptors + 16, "descriptors leak"
    assert sum(map(len, world.children().values())) == len(COMMANDS), world.children()
    assert world.zombies() == 0
    code = world.close()
    assert code == 0, f"the gateway ended with {code}"
    time.sleep(1)
    assert not world.orphans(), f"processes are left: {world.orphans()}"
    print("fleet: no orphan, no zombie, all passed")


if __name__ == "__main__":
    sys.exit(main())

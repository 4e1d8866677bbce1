"""Plays every column with every client and prints the table; exits with 1 if a cell is not what is documented.

    python harness                         the table
    python harness codex continue:cut      some clients, or some columns, or both: CLIENT, :COLUMN, CLIENT:COLUMN
    python harness --cuts [--seed 7]       cuts at random points
    python harness --long                  a tool of 330 s
    python harness --prefix                how long the common prefix of consecutive requests is
    python harness --all                   all of these, and README.md's table must be the one that was printed

AGENTS_CAPTURES names a folder that gets everything that clients sent and got.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent.parent
sys.path[1:1] = [str(HERE / "provider"), str(HERE.parent / "provider")]

import cuts
import long
import prefix
import table
from world import World


GATE_SEED = 7


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cells", nargs="*", help="CLIENT, :COLUMN or CLIENT:COLUMN")
    options.add_argument("--cuts", action="store_true", help="cut the stream at random points")
    options.add_argument("--seed", type=int, default=None, help="the seed of the random points")
    options.add_argument("--long", action="store_true", help="a tool of 330 s")
    options.add_argument("--prefix", action="store_true", help="compare the prefixes of consecutive requests")
    options.add_argument("--all", action="store_true", help="everything, and the README's table must be this one")
    chosen = options.parse_args()
    world = World.from_environment()
    world.wait()
    with ThreadPoolExecutor(16) as patient:
        waiting = patient.submit(long.run, world) if chosen.long or chosen.all else None
        good = True
        if chosen.all or not (chosen.cuts or chosen.long or chosen.prefix):
            good &= table.run(world, chosen.cells, check_readme=chosen.all)
        if chosen.cuts or chosen.all:
            # The gate plays the same points each time; whoever looks for more gives a seed, or none.
            seed = GATE_SEED if chosen.all and chosen.seed is None else chosen.seed
            good &= cuts.run(world, seed)
        if chosen.prefix or chosen.all:
            good &= prefix.run(world)
        if waiting:
            good &= waiting.result()
    sys.exit(not good)


if __name__ == "__main__":
    main()

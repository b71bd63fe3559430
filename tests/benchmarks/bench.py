"""Every benchmark after the other, and their tables as one page: `make bench`.

    python tests/benchmarks/bench.py           # what `make bench` runs: about 65 minutes on 2 cores
    python tests/benchmarks/bench.py --quick   # fewer runs and trials of each: about 20

Each script can be run alone and keeps its table beside itself (`--keep`); this one prints all of them under the machine that
they were measured on. Nothing else may run meanwhile: wall times count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from updates import machine

HERE = Path(__file__).parent
SCRIPTS: Mapping[str, tuple[str, Sequence[str], Sequence[str]]] = {
    "updates": ("an update, against torch and the usual loop", (), ()),
    "growth": ("an update by length, width, batch and lanes", (), ()),
    "stacks": ("trials side by side, on a GPU where there is one", (), ("--updates", "60", "--repeats", "1")),
    "whole_sweep": ("a whole sweep, against the usual way", (), ("--repeats", "1")),
    "recording": ("recording, against log_batch alone", (), ("--runs", "100")),
    "many_trials": ("many trials, simulated", ("--trials", "10000"), ("--trials", "2000")),
}
"""What each script measures, and what it is told in full and when it is to be quick."""


def main() -> None:
    """Run them all, and print their tables.

    Raises:
        SystemExit: one of them failed; its name, and the tables of the others.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer runs and trials of each")
    parser.add_argument("--only", default=",".join(SCRIPTS), help="some of them, separated by commas")
    asked = parser.parse_args()
    print(f"# Benchmarks\n\n{machine()}, load {os.getloadavg()[2]:.1f} before they began.", flush=True)
    failed = []
    for name in asked.only.split(","):
        title, full, quick = SCRIPTS[name]
        words = [sys.executable, str(HERE / f"{name}.py"), "--keep", *(quick if asked.quick else full)]
        print(f"\n## {name}: {title}\n", flush=True)
        if subprocess.run(words).returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

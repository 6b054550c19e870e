"""Measure, print a table, write JSON and a chart: ``python -m benchmarks small arrays --rounds 5 --json out.json``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks import harness, report
from benchmarks.harness import Result, Workload
from benchmarks.machine import describe

WORKLOADS = (
    "small",
    "arrays",
    "frame",
    "objects",
    "mix",
    "many",
    "folder",
    "durable",
    "lag",
    "imports",
    "gcs_small",
    "gcs_large",
    "gcs_mix",
)
"""Each is a file here with a function ``workloads(quick)``."""


def main(argv: Sequence[str] | None = None) -> list[Result]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="workload", help=f"of {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender has its turn")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, and tells nothing")
    parser.add_argument(
        "--only", default="", help="only contenders with this in their name, beside ours and the raw limit"
    )
    parser.add_argument("--folder", type=Path, help="where to save; on the file system that is to be measured")
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    parser.add_argument("--chart", type=Path, help="write bars to this SVG file")
    given = parser.parse_args(argv)
    unknown = set(given.names) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workload {sorted(unknown)[0]!r}; there are {', '.join(WORKLOADS)}")
    results: list[Result] = []
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="benchmarks-") as place:
        machine = describe(Path(place))
        for key, value in machine.items():
            print(f"{key}: {value}")
        for name in given.names or WORKLOADS:
            make: Callable[[bool], Sequence[Workload]] = import_module(f"benchmarks.{name}").workloads
            for workload in make(given.quick):
                found = harness.run(_only(workload, given.only), rounds=given.rounds, folder=Path(place), say=_say)
                print(f"\n## {workload.name}: {workload.about}")
                print(report.table(found), flush=True)
                results += found
                # As soon as there is more to tell: a full run takes an hour.
                if given.json:
                    given.json.write_text(json.dumps(report.document(results, machine, given.rounds), indent=1))
                if given.chart:
                    given.chart.write_text(report.chart(results))
    return results


def _only(workload: Workload, part: str) -> Workload:
    kept = [who for who in workload.contenders if who.kind in ("ours", "raw") or part.lower() in who.name.lower()]
    return Workload(workload.name, workload.about, workload.rows, kept)


def _say(progress: str) -> None:
    print(f"\r{progress}\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

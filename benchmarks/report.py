"""Results as a table, as JSON, and as a chart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from benchmarks.harness import Result

COLUMNS = (
    "who",
    "durability",
    "median",
    "spread",
    "of raw",
    "of best peer",
    "cpu s (each)",
    "extra MiB",
    "lag p99 / worst ms",
)


def by_row(results: Iterable[Result]) -> Iterator[tuple[str, str, list[Result]]]:
    """Workload, row, and who did it; ours first, then the limit, then peers from the quickest."""
    order = {"ours": 0, "raw": 1, "aside": 2, "peer": 3}
    for (workload, row), group in groupby(results, key=lambda result: (result.workload, result.row.name)):
        ranked = sorted(
            group,
            key=lambda r: (order[r.contender.kind], r.unable is not None, r.seconds if r.samples else 0.0),
        )
        yield workload, row, ranked


def table(results: Sequence[Result]) -> str:
    """Markdown: one table per row."""
    lines: list[str] = []
    for workload, row, group in by_row(results):
        lines += ["", f"**{workload}: {row}**", "", "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
        lines += ["| " + " | ".join(_cells(result, group)) + " |" for result in group]
    return "\n".join(lines)


def _cells(result: Result, group: Sequence[Result]) -> list[str]:
    who = result.contender
    if not result.samples:
        return [who.name, who.durability, result.unable or "not run", *[""] * 6]
    raw, peer = limit(group), best_peer(group)
    low, high = result.spread
    lag = result.lag
    return [
        f"**{who.name}**" if who.kind == "ours" else who.name,
        who.durability,
        rate(result, result.seconds),
        f"{rate(result, low)} - {rate(result, high)}",
        f"{result.times_faster(raw):.2f}" if raw else "",
        f"{result.times_faster(peer):.2f}" if peer else "",
        _cpu(result),
        f"{result.peak / 2**20:.0f}",
        f"{lag[0] * 1e3:.1f} / {lag[1] * 1e3:.0f}" if lag else "",
    ]


def _cpu(result: Result) -> str:
    each = f" ({result.cpu / result.row.count * 1e6:.0f} µs)" if result.row.count > 1 and not result.row.bytes else ""
    return f"{result.cpu:.2f}{each}"


def limit(group: Sequence[Result]) -> Result | None:
    """The raw limit of a row."""
    return next((result for result in group if result.contender.kind == "raw" and result.samples), None)


def best_peer(group: Sequence[Result]) -> Result | None:
    """The quickest of the others."""
    peers = [result for result in group if result.contender.kind == "peer" and result.samples]
    return min(peers, key=lambda result: result.seconds, default=None)


def rate(result: Result, seconds: float) -> str:
    """A time as what one would ask for: microseconds each, GB/s, or seconds."""
    if result.row.count > 1 and not result.row.bytes:
        return f"{seconds / result.row.count * 1e6:.1f} µs"
    if result.row.bytes:
        return f"{result.row.bytes / seconds / 1e9:.2f} GB/s"
    return f"{seconds:.3f} s" if seconds >= 0.1 else f"{seconds * 1e3:.2f} ms"


def document(results: Sequence[Result], machine: Mapping[str, str], rounds: int) -> dict[str, Any]:
    """Everything that was measured, as JSON."""
    return {
        "machine": dict(machine),
        "rounds": rounds,
        "results": [
            {
                "workload": result.workload,
                "row": result.row.name,
                "who": result.contender.name,
                "kind": result.contender.kind,
                "durability": result.contender.durability,
                "count": result.row.count,
                "bytes": result.row.bytes,
                "unable": result.unable,
                "seconds": [sample.seconds for sample in result.samples],
                "cpu_seconds": [sample.cpu for sample in result.samples],
                "peak_bytes": [sample.peak for sample in result.samples],
                "lag_seconds": result.lag,
            }
            for result in results
        ],
    }


_COLOURS = {"ours": "#1f6feb", "raw": "#8b949e", "aside": "#b0b8c0", "peer": "#d0a03a"}
_BAR, _LEFT, _WIDTH = 16, 230, 420


def chart(results: Sequence[Result]) -> str:
    """An SVG of bars: the speed of each, as a share of the raw limit, or of the quickest where there is none."""
    shapes: list[str] = []
    y = 10
    for workload, row, group in by_row(results):
        done = [result for result in group if result.samples]
        if len(done) < 2:
            continue
        base = limit(group) or min(done, key=lambda result: result.seconds)
        most = max(result.times_faster(base) for result in done)
        shapes.append(f'<text x="10" y="{y + 12}" font-weight="bold">{escape(workload)}: {escape(row)}</text>')
        y += _BAR + 4
        for result in done:
            share = result.times_faster(base)
            width = max(1.0, _WIDTH * share / most)
            shapes += [
                f'<text x="{_LEFT - 6}" y="{y + 11}" text-anchor="end">{escape(result.contender.name)}</text>',
                f'<rect x="{_LEFT}" y="{y}" width="{width:.0f}" height="{_BAR - 3}" fill="{_COLOURS[result.contender.kind]}"/>',
                f'<text x="{_LEFT + width + 5:.0f}" y="{y + 11}">{share:.2f}  ({rate(result, result.seconds)})</text>',
            ]
            y += _BAR
        y += 12
    size = f'width="{_LEFT + _WIDTH + 170}" height="{y}"'
    style = 'font-family="sans-serif" font-size="11"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(shapes) + "\n</svg>\n"

"""What the proofs have counted, gathered from every process that runs tests, and told at the end of the run."""

from __future__ import annotations

import os

import pytest

FULL = os.environ.get("AIOARTIFACTS_PROOFS") == "full"
"""Whether everything is proved, or a sample."""

figures: dict[str, dict[str, object]] = {}
"""By proof. A proof is carried out by one process."""


def count(proof: str, **counts: int) -> None:
    """Add to what a proof has counted."""
    found = figures.setdefault(proof, {})
    for name, n in counts.items():
        before = found.get(name, 0)
        assert isinstance(before, int)
        found[name] = before + n


def state(proof: str, **values: object) -> None:
    """Set a figure that is not a sum."""
    figures.setdefault(proof, {}).update(values)


def told() -> dict[str, dict[str, str]]:
    """The figures in words, as one process passes them on to another."""
    return {proof: {name: str(value) for name, value in counted.items()} for proof, counted in figures.items()}


def print_on(terminal: pytest.TerminalReporter) -> None:
    """Print the figures, if there are any; also to the file that ``AIOARTIFACTS_PROOFS_FIGURES`` names."""
    if not figures:
        return
    terminal.section(f"proofs, {'in full' if FULL else 'a sample'}")
    lines = [
        f"{proof}: {', '.join(f'{name} {value}' for name, value in counted.items())}"
        for proof, counted in sorted(told().items())
    ]
    for line in lines:
        terminal.write_line(line)
    if path := os.environ.get("AIOARTIFACTS_PROOFS_FIGURES"):
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)

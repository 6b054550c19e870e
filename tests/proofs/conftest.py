"""Processes to kill; and prints the proofs' figures after the run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import proof_scale
import pytest
from proof_disk import why_not
from proof_tracing import Writers

# Mounting takes root, and a machine that lets it. Where it cannot be done the run says so at its end.
if (reason := why_not()) is not None:
    collect_ignore = ["test_proof_power_cut.py", "test_proof_full_disk.py"]
    proof_scale.state("power cut and full disk", NOT_PROVED_HERE=reason)


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writers]:
    made = Writers(tmp_path_factory.mktemp("writers"))
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not proof_scale.figures:
        return
    terminalreporter.section(f"proofs, {'in full' if proof_scale.FULL else 'a sample'}")
    lines = [
        f"{proof}: {', '.join(f'{name} {value}' for name, value in counted.items())}"
        for proof, counted in sorted(proof_scale.figures.items())
    ]
    for line in lines:
        terminalreporter.write_line(line)
    if path := os.environ.get("AIOARTIFACTS_PROOFS_FIGURES"):
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)

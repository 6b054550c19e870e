"""Processes to kill."""

from __future__ import annotations

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

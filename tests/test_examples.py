"""Every example runs, offline, and prints what it is there to show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SHOWN = {
    "demo.py": ["every one came back exactly as it went in", "only if you trust who wrote it"],
    "async_store.py": ["loaded {'accuracy': 0.93", "listed churn/<today>/r1/data/prep/labels", "sound: True damaged: {} left by killed writers: []", "still there: False"],
    "sync_store.py": ["loaded {'a': (1, 2)}", "sum 140", "left ['experiments/first']"],
    "bulk.py": ["raised ['bad']", "good saved", "bad failed: EncodeError"],
    "gcs.py": ["saved to gs://my-bucket/", "50 artifacts, 5000000 bytes", "UntrustedArtifactError pickle", "52 artifacts listed"],
    "formats.py": ["can be loaded here: True ()", "begins with b'PAR1'", "only ['degrees']", "mapped: True 999999"],
    "plugin.py": ["geometry 7", "celsius-call 21.5", "celsius-decorator 22.5 and still 21.5"],
    "custom_materializer.py": ["track {'points': 2} safe to load: True", "commute [(0.0, 0.0), (1.5, 2.5)]"],
}


def test_every_example_is_tried() -> None:
    assert {file.name for file in EXAMPLES.glob("*.py")} == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_example(name: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONWARNINGS": "error", "MPLCONFIGDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in SHOWN[name]:
        assert line in done.stdout
    assert not done.stderr

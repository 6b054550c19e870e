"""A save takes bounded memory beside the object, however large that is. With 1 GiB each: python tests/streaming/held.py"""

from __future__ import annotations

import json
import subprocess
import sys

import held
import pytest

MIB = 128
HELD = {"parquet_frame": 110, "text_frame": 110, "strided": 40, "pickled_list": 60, "json_list": 40}
"""MiB: batches of converted columns, of 48 MiB each, and what Arrow needs to make one; slices; what pickle remembers."""


@pytest.mark.parametrize("kind", held.KINDS)
def test_save_holds_little_beside_the_object(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, held.__file__, str(MIB), kind], capture_output=True, text=True, check=True, timeout=240
    )
    found = json.loads(done.stdout)
    assert found["payload"] > 15, "it is large enough to tell"
    assert found["held"] < HELD.get(kind, 24)

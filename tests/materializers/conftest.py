"""Makes this folder importable, so that tests can say ``from parts import roundtrip``; and the folders of what they share with others."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "fidelity"), str(TESTS.parent / "examples")]

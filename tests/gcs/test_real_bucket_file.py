"""The file that is for a real bucket: nothing without one, and a working suite with one, for which the test server stands in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aioartifacts.testing.pytest_plugin import BUCKET

FILE = Path(__file__).with_name("test_real_bucket.py")


def run(*arguments, **variables):
    code = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FILE), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "AIOARTIFACTS_TEST_BUCKET"} | variables
    return subprocess.run(code, env=environment, cwd=FILE.parents[2], capture_output=True, text=True, timeout=300)


def test_without_a_bucket_nothing_runs_and_nothing_is_skipped():
    done = run()
    assert done.returncode == 5, "no tests ran"
    assert "skipped" not in done.stdout


def test_with_a_bucket_it_runs_and_leaves_nothing(gcs_server):
    variables = {"AIOARTIFACTS_TEST_BUCKET": BUCKET, "STORAGE_EMULATOR_HOST": gcs_server.url}
    done = run("-k", "round_trip or create or delete", **variables)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert gcs_server.snapshot()["buckets"][BUCKET]["objects"] == 0

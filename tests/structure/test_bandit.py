"""What bandit finds is what is explained here, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXPLAINED = {
    ("B101", ""): "asserts tell type checkers, and readers, what the code around them ensures; nothing depends on them",
    ("B311", ""): "random() is for jitter, and for faults in tests; secrets come from `secrets`",
    ("B301", "materializers/"): "unpickling is their work; trust is decided before they are called",
    ("B403", "materializers/"): "as above",
    ("B614", "materializers/torch"): "as above",
    ("B108", "objects/local/"): "`.aioartifacts/tmp` is a folder of the store's own, not the system's",
    ("B301", "testing/"): "a suite unpickles the store that it has just pickled",
    ("B403", "testing/"): "as above",
    ("B105", "testing/gcs_server/"): "the kind of a token, and an empty page token",
    ("B314", "testing/gcs_server/"): "the server is for tests: its clients are the tests",
    ("B404", "testing/"): "the server runs in a process of its own, and a suite loads in a fresh one",
    ("B405", "testing/gcs_server/"): "as for B314",
    ("B406", "testing/gcs_server/"): "it is for escaping, not for parsing",
    ("B110", "testing/materializer_suite"): "hostile parts may raise whatever they like, as long as it is an exception",
    ("B603", "testing/"): "the command is our own, without a shell",
}


def test_bandit_finds_nothing_but_what_is_explained() -> None:
    command = [sys.executable, "-m", "bandit", "--quiet", "--recursive", "--format", "json", "src/aioartifacts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    report = json.loads(done.stdout)
    assert report["errors"] == []
    unexplained, used = [], set()
    for finding in report["results"]:
        file = finding["filename"].replace("\\", "/").partition("src/aioartifacts/")[2]
        reasons = {
            (test, folder) for test, folder in EXPLAINED if test == finding["test_id"] and file.startswith(folder)
        }
        used |= reasons
        if not reasons:
            unexplained.append(f"{finding['test_id']} {file}:{finding['line_number']} {finding['issue_text']}")
    assert unexplained == []
    assert used == set(EXPLAINED), "explanations of what bandit no longer finds"

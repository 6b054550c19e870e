"""What the README and the other pages point to is there: relative links, their anchors, files of this repository, workloads."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?![a-z+]+:)([^)\s]*)\)")
_CODE = re.compile(r"`([^`]+)`")
_FILE = re.compile(r"(?:(?:src|tests|docs|benchmarks|examples|\.ci)/[\w./-]*|\w+\.(?:py|md|toml))")
_WORKLOADS = re.compile(r"python -m benchmarks((?: \w+)*)")


@cache
def files() -> frozenset[str]:
    """The names of all files, without their folders."""
    kept = [
        file for place in ("src", "tests", "docs", "benchmarks", "examples") for file in (ROOT / place).rglob("*.*")
    ]
    return frozenset(file.name for file in [*kept, *ROOT.glob("*.*")])


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(page: Path, text: str) -> list[str]:
    """What *text*, standing on *page*, points to in vain."""
    prose = _FENCE.sub("", text)
    found = []
    for link in _LINK.findall(_CODE.sub("", prose)):
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    for code in _CODE.findall(prose):
        for word in code.split():
            named = word.partition("::")[0]
            if _FILE.fullmatch(named) and not ((ROOT / named).exists() if "/" in named else named in files()):
                found.append(word)
    for workloads in _WORKLOADS.findall(text):
        found += [name for name in workloads.split() if not (ROOT / "benchmarks" / f"{name}.py").exists()]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_points_to_is_there(page: Path) -> None:
    assert missing(page, page.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](docs/gcs.md), [b](examples), [c](https://example.com/x), [d](docs/gcs.md#what-it-costs)", []),
        ("[a](docs/none.md)", ["docs/none.md"]),
        ("[a](docs/gcs.md#what-it-saves)", ["docs/gcs.md#what-it-saves"]),
        ("[a](#more), [b](#less)", ["#less"]),
        ("`tests/loop_guard.py`, `errors.py`, `examples/`, `src/aioartifacts/store.py::ArtifactStore`", []),
        ("`tests/none.py`", ["tests/none.py"]),
        ("`tests/none.py::test`", ["tests/none.py::test"]),
        ("`cp nowhere.py elsewhere`", ["nowhere.py"]),
        ("```sh\nsee `tests/none.py`\n```", []),
        ("`python -m benchmarks small many --rounds 3`", []),
        ("```sh\npython -m benchmarks smal\n```", ["smal"]),
    ],
)
def test_what_is_not_there_is_told(text: str, found: list[str]) -> None:
    assert missing(ROOT / "README.md", text) == found

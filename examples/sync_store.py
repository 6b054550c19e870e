"""The same verbs from ordinary code; also inside a notebook, a thread pool or a forked worker."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor

from aioartifacts.sync import LocalArtifactStore


def main(folder: str) -> None:
    with LocalArtifactStore(folder) as store:
        store.save({"a": (1, 2)}, "experiments/first", metadata={"who": "me"})
        print("loaded", store.load("experiments/first", dict))
        print("metadata", store.get_metadata("experiments/first"))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: store.save(n * n, f"squares/{n}"), range(8)))
        print("listed", store.list_artifacts("squares"))
        print("sum", sum(store.load(path, int) for path in store.list_artifacts("squares")))

        store.delete_tree("squares")
        print("left", store.list_artifacts())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(temporary)

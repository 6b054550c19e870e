"""How orchestrators keep what their steps leave behind, on local disk. All of these may be missing."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender


class Metaflow(Contender):
    """Its content-addressed store over local files, used as its tasks do: pickled, gzipped, named by the digest."""

    name = "Metaflow"
    needs = ("metaflow",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from metaflow.datastore.content_addressed_store import ContentAddressedStore
        from metaflow.plugins.datastores.local_storage import LocalStorage

        self.blobs = ContentAddressedStore("data", LocalStorage(str(folder)))
        self.keys: dict[str, str] = {}
        """Digests by name, which Metaflow has in a file for each task."""

    def save(self, objects: Mapping[str, object]) -> None:
        pickles = (pickle.dumps(obj, protocol=4) for obj in objects.values())
        saved = self.blobs.save_blobs(pickles, len_hint=len(objects))
        self.keys |= {name: result.key for name, result in zip(objects, saved, strict=True)}

    def load(self, keys: Sequence[str]) -> list[Any]:
        found = {key: pickle.loads(blob) for key, blob in self.blobs.load_blobs([self.keys[key] for key in keys])}
        return [found[self.keys[key]] for key in keys]


class MLflow(Contender):
    """Its repository of artifacts in a local folder, which takes files and gives files."""

    name = "MLflow"
    needs = ("mlflow",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

        self.repository = LocalArtifactRepository((folder / "artifacts").as_uri())

    def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                place, _, name = key.rpartition("/")
                file = Path(folder, name)
                file.write_bytes(pickle.dumps(obj, protocol=5))
                self.repository.log_artifact(str(file), place or None)

    def load(self, keys: Sequence[str]) -> list[Any]:
        return [pickle.loads(Path(self.repository.download_artifacts(key)).read_bytes()) for key in keys]

    def list(self) -> Sequence[str]:
        found, folders = [], [""]
        while folders:
            for entry in self.repository.list_artifacts(folders.pop()):
                (folders if entry.is_dir else found).append(entry.path)
        return found

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.repository.delete_artifacts(key)


class Prefect(Contender):
    """Its store of results over a local folder, written in place."""

    name = "Prefect"
    durability = "torn"
    needs = ("prefect",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        os.environ.setdefault("PREFECT_HOME", str(folder / "home"))
        self.results = self.opened()

    def opened(self) -> Any:
        """A store that has nothing in its cache."""
        from prefect.filesystems import LocalFileSystem
        from prefect.results import ResultStore
        from prefect.serializers import PickleSerializer

        return ResultStore(
            result_storage=LocalFileSystem(basepath=str(self.folder / "results")), serializer=PickleSerializer()
        )

    def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            self.results.write(obj, key=key)

    def load(self, keys: Sequence[str]) -> list[Any]:
        results = self.opened()
        return [results.read(key).result for key in keys]

    def exists(self, keys: Sequence[str]) -> list[bool]:
        return [self.results.exists(key) for key in keys]

"""What one would use instead, each in its best honest configuration. All of these may be missing."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.harness import Contender


class FlowyML(Contender):
    """Its ``LocalArtifactStore``: a pickle written in place."""

    name = "FlowyML"
    durability = "torn"
    needs = ("flowyml",)
    metadata: ClassVar[dict[str, str] | None] = None

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from flowyml.storage.artifacts import LocalArtifactStore

        self.store = LocalArtifactStore(str(folder))

    def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            self.store.save(obj, key, self.metadata)

    def load(self, keys: Sequence[str]) -> list[Any]:
        return [self.store.load(key) for key in keys]

    def exists(self, keys: Sequence[str]) -> list[bool]:
        return [self.store.exists(key) for key in keys]

    def list(self) -> Sequence[str]:
        return self.store.list_artifacts()

    def size(self, keys: Sequence[str]) -> list[int]:
        return [self.store.size(key) for key in keys]

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.store.delete(key)


class FlowyMLWithMetadata(FlowyML):
    """What ours always does: it keeps a word about the artifact."""

    name = "FlowyML with metadata"
    metadata: ClassVar = {"format": "pickle", "type": "dict"}


class FlowyMLArrays(FlowyML):
    """Its ``materialize``, which knows NumPy."""

    name = "FlowyML materialize"

    def save(self, objects: Mapping[str, object]) -> None:
        self.paths = {key: self.store.materialize(obj, key, "run", "step") for key, obj in objects.items()}

    def load(self, keys: Sequence[str]) -> list[Any]:
        import numpy as np

        return [np.load(next(Path(self.paths[key]).glob("*.npy"))) for key in keys]


class Obstore(Contender):
    """Pickles in obstore's ``LocalStore``; it writes a temporary file and renames it."""

    name = "obstore"
    needs = ("obstore",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from obstore.store import LocalStore

        self.store = LocalStore(folder)

    def save(self, objects: Mapping[str, object]) -> Any:
        for key, obj in objects.items():
            self.store.put(key, pickle.dumps(obj))

    def load(self, keys: Sequence[str]) -> Any:
        return [pickle.loads(self.store.get(key).bytes()) for key in keys]

    def exists(self, keys: Sequence[str]) -> list[bool]:
        return [bool(self.store.head(key)) for key in keys]

    def list(self) -> Sequence[str]:
        return sorted(item["path"] for page in self.store.list() for item in page)

    def delete(self, keys: Sequence[str]) -> None:
        self.store.delete(list(keys))


class ObstoreAsync(Obstore):
    """Its coroutines, all at once."""

    name = "obstore, async"

    async def save(self, objects: Mapping[str, object]) -> None:
        await asyncio.gather(*(self.store.put_async(key, pickle.dumps(obj)) for key, obj in objects.items()))

    async def load(self, keys: Sequence[str]) -> list[Any]:
        async def get(key: str) -> Any:
            return pickle.loads(await (await self.store.get_async(key)).bytes_async())

        return await asyncio.gather(*(get(key) for key in keys))


class ObstoreArrays(Obstore):
    """The array's own memory; it is put in parts, side by side. Shape and dtype are not kept."""

    async def save(self, objects: Mapping[str, Any]) -> None:
        await asyncio.gather(
            *(self.store.put_async(key, memoryview(array).cast("B")) for key, array in objects.items())
        )

    async def load(self, keys: Sequence[str]) -> list[Any]:
        import numpy as np

        async def get(key: str) -> Any:
            return np.frombuffer(await (await self.store.get_async(key)).bytes_async())

        return await asyncio.gather(*(get(key) for key in keys))


class Joblib(Contender):
    """``joblib.dump``, which writes in place."""

    name = "joblib"
    durability = "torn"
    needs = ("joblib",)

    def save(self, objects: Mapping[str, object]) -> None:
        import joblib

        for key, obj in objects.items():
            path = f"{self.folder}/{key}"
            try:
                joblib.dump(obj, path)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path))
                joblib.dump(obj, path)

    def load(self, keys: Sequence[str]) -> list[Any]:
        import joblib

        return [joblib.load(f"{self.folder}/{key}") for key in keys]

    def load_mapped_unverified(self, keys: Sequence[str]) -> list[Any]:
        import joblib

        return [joblib.load(f"{self.folder}/{key}", mmap_mode="r") for key in keys]


class DiskCache(Contender):
    """A table of SQLite, and files for what is large."""

    name = "diskcache"
    needs = ("diskcache",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import diskcache

        self.cache = diskcache.Cache(str(folder))

    def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            self.cache[key] = obj

    def load(self, keys: Sequence[str]) -> list[Any]:
        return [self.cache[key] for key in keys]

    def exists(self, keys: Sequence[str]) -> list[bool]:
        return [key in self.cache for key in keys]

    def list(self) -> Sequence[str]:
        return sorted(self.cache)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            del self.cache[key]

    def close(self) -> None:
        self.cache.close()


class Fsspec(Contender):
    """Pickles in fsspec's local file system, which writes in place."""

    name = "fsspec"
    durability = "torn"
    needs = ("fsspec",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import fsspec

        self.files = fsspec.filesystem("file", auto_mkdir=True)

    def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            self.files.pipe_file(f"{self.folder}/{key}", pickle.dumps(obj))

    def load(self, keys: Sequence[str]) -> list[Any]:
        return [pickle.loads(self.files.cat_file(f"{self.folder}/{key}")) for key in keys]

    def exists(self, keys: Sequence[str]) -> list[bool]:
        return [self.files.exists(f"{self.folder}/{key}") for key in keys]

    def list(self) -> Sequence[str]:
        return self.files.find(str(self.folder))

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.files.rm_file(f"{self.folder}/{key}")


class Pickle(Contender):
    """``pickle.dump`` to a file, in place."""

    name = "pickle.dump"
    durability = "torn"

    def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            with open(f"{self.folder}/{key}", "wb") as file:
                pickle.dump(obj, file, protocol=5)

    def load(self, keys: Sequence[str]) -> list[Any]:
        loaded = []
        for key in keys:
            with open(f"{self.folder}/{key}", "rb") as file:
                loaded.append(pickle.load(file))
        return loaded


class Numpy(Contender):
    """``np.save``, in place."""

    name = "np.save"
    durability = "torn"
    needs = ("numpy",)

    def save(self, objects: Mapping[str, Any]) -> None:
        import numpy as np

        for key, array in objects.items():
            np.save(f"{self.folder}/{key}.npy", array)

    def load(self, keys: Sequence[str]) -> list[Any]:
        import numpy as np

        return [np.load(f"{self.folder}/{key}.npy") for key in keys]

    def load_mapped_unverified(self, keys: Sequence[str]) -> list[Any]:
        import numpy as np

        return [np.load(f"{self.folder}/{key}.npy", mmap_mode="r") for key in keys]


class Safetensors(Contender):
    """A file for each array, written in place."""

    name = "safetensors"
    durability = "torn"
    needs = ("safetensors", "numpy")

    def save(self, objects: Mapping[str, Any]) -> None:
        from safetensors.numpy import save_file

        for key, array in objects.items():
            save_file({"array": array}, f"{self.folder}/{key}")

    def load(self, keys: Sequence[str]) -> list[Any]:
        from safetensors.numpy import load_file

        return [load_file(f"{self.folder}/{key}")["array"] for key in keys]


class Zarr(Contender):
    """Uncompressed, a chunk for each array."""

    name = "zarr"
    needs = ("zarr", "numpy")

    def save(self, objects: Mapping[str, Any]) -> None:
        import zarr

        for key, array in objects.items():
            zarr.create_array(f"{self.folder}/{key}", data=array, chunks=array.shape, compressors=None)

    def load(self, keys: Sequence[str]) -> list[Any]:
        import zarr

        return [zarr.open_array(f"{self.folder}/{key}", mode="r")[:] for key in keys]


class Parquet(Contender):
    """``DataFrame.to_parquet`` as pandas writes it."""

    name = "pandas.to_parquet"
    durability = "torn"
    needs = ("pandas", "pyarrow")

    def save(self, objects: Mapping[str, Any]) -> None:
        for key, frame in objects.items():
            frame.to_parquet(f"{self.folder}/{key}")

    def load(self, keys: Sequence[str]) -> list[Any]:
        import pandas as pd

        return [pd.read_parquet(f"{self.folder}/{key}") for key in keys]

    def load_columns(self, key: str, columns: Sequence[str]) -> Any:
        import pandas as pd

        return pd.read_parquet(f"{self.folder}/{key}", columns=list(columns))


class Feather(Parquet):
    """Arrow's IPC format, uncompressed."""

    name = "pandas.to_feather"

    def save(self, objects: Mapping[str, Any]) -> None:
        for key, frame in objects.items():
            frame.to_feather(f"{self.folder}/{key}", compression="uncompressed")

    def load(self, keys: Sequence[str]) -> list[Any]:
        import pandas as pd

        return [pd.read_feather(f"{self.folder}/{key}") for key in keys]

    def load_columns(self, key: str, columns: Sequence[str]) -> Any:
        import pandas as pd

        return pd.read_feather(f"{self.folder}/{key}", columns=list(columns))

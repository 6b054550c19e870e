"""scikit-learn: estimators as pickles with the versions that made them; on request through skops, which runs no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BytesIO
from zipfile import ZIP_STORED, ZipFile

from aioartifacts.errors import UntrustedArtifactError
from aioartifacts.materializers.base import Declined, Dump, Materializer, Parts
from aioartifacts.materializers.estimators import EstimatorMaterializer, describe
from aioartifacts.materializers.scratch import ScratchFolder
from aioartifacts.types import JSON, MIB

_FREE, _GROWTH = 256 * MIB, 32
"""Bytes that the arrays of a sparse matrix may take in memory, and how often their size in the file if that is more."""


class SklearnMaterializer(EstimatorMaterializer):
    """Estimators, transformers and pipelines."""

    name = "sklearn"
    format = "sklearn"
    packages = ("sklearn", "numpy", "scipy", "cloudpickle")


class SkopsMaterializer(Materializer):
    """Estimators as a ``.skops`` file, on request; slower than a pickle, for it is JSON and a file for each array.

    Declines an estimator that holds types which skops does not trust by itself. On load, a file that asks for such types is refused,
    unless the store trusts it.
    """

    name = "skops"
    format = "skops"
    safe = True
    packages = ("skops", "sklearn", "numpy", "scipy")

    def accepts(self, obj: object) -> bool:
        return callable(getattr(obj, "get_params", None)) and not isinstance(obj, type)

    def dump(self, obj: object) -> Dump:
        import skops.io  # type: ignore[import-untyped]

        folder = ScratchFolder()
        path = f"{folder.path}/data.skops"
        skops.io.dump(obj, path)
        unknown = _untrusted(path)
        if unknown:
            raise Declined(
                f"skops does not trust {', '.join(unknown)[:300]}; without format='skops' it is saved as a pickle"
            )
        return Dump(folder.parts())

    def load(self, parts: Parts) -> object:
        import skops.io

        path = parts.path("data.skops")
        unknown = _untrusted(path)
        if unknown and not parts.trusted:
            raise UntrustedArtifactError(
                f"the skops file asks for types that can run code: {', '.join(unknown)[:300]}. If you trust whoever wrote it, open the "
                "store with trust='all'",
                format=self.format,
            )
        return skops.io.load(path, trusted=unknown)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return describe(obj)


def _check_arrays(data: bytes) -> None:
    """Refuse a compressed file of arrays, as scipy writes it for a sparse matrix, that becomes far more than its size."""
    with ZipFile(BytesIO(data)) as file:
        taken = sum(item.file_size for item in file.infolist())
        if taken > max(_FREE, _GROWTH * len(data)):
            raise ValueError(f"{len(data)} bytes of arrays in the skops file become {taken} when they are read")


def _untrusted(path: str) -> list[str]:
    """Types in the file that skops does not know to be harmless."""
    import skops.io

    with ZipFile(path) as file:
        if any(item.compress_type != ZIP_STORED for item in file.infolist()):
            raise ValueError(
                "the skops file is compressed, which aioartifacts never writes, and may be larger than memory"
            )
        if any(item.file_size != item.compress_size for item in file.infolist()):
            raise ValueError("a file in the skops file says another size than it has")
        if sum(item.file_size for item in file.infolist()) > os.path.getsize(path):
            raise ValueError("the files in the skops file overlap")
        for item in file.infolist():
            if item.filename.endswith(".npz"):
                _check_arrays(file.read(item))
    return list(skops.io.get_untrusted_types(file=path))

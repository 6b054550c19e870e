"""What FlowyML's own ``LocalArtifactStore`` (1.7.2 to 2.2.1) wrote, recognised from bytes and names alone.

It writes two kinds of artifact, and neither has a record of ours::

    <path>                              save(): one bare pickle
    <path, suffix replaced>.meta.json   save(metadata=…): the user's metadata, as plain JSON
    <path>/metadata.json                materialize(): what lies beside it, without an "aioartifacts" field
    <path>/data.pkl, array.npy, …

Nothing here does I/O or decodes a payload. A description says which objects hold the parts and which materializer reads them; the
trust rule applies to it as to any record.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from aioartifacts.errors import InvalidPathError, RecordError
from aioartifacts.keys import check_path
from aioartifacts.types import JSON

META_SUFFIX = ".meta.json"
"""End of the name of a bare pickle's metadata file."""
PICKLE = "flowyml-pickle"
NUMPY = "flowyml-numpy"
PANDAS = "flowyml-pandas"

_FILES = {
    "numpy_array": ("array.npy",),
    "sklearn_model": ("model.pkl",),
    "pytorch_model": ("model.pt",),
    "pytorch_tensor": ("tensor.pt",),
    "pytorch_object": ("object.pt",),
    "keras_model": ("model.keras", "model.h5", "config.json"),
    "tensorflow_tensor": ("tensor.npy",),
    "tensorflow_variable": ("variable.npy",),
}
_PANDAS_FILES = {"parquet": "data.parquet", "csv": "data.csv"}
_SAVED_MODEL = "saved_model"
_DESCRIBED = frozenset(["type", "format", "file", "serializer"])


@dataclass(frozen=True, slots=True)
class LegacyArtifact:
    """What FlowyML tells of one artifact. It keeps no size, digest or time."""

    type: str
    """As far as it is known: FlowyML keeps a bare class name, and none for a bare pickle (``"object"``)."""
    format: str
    """``flowyml-…``; some have no reader here (``flowyml-keras``), and are then an unknown format like any other."""
    serializer: str
    keys: tuple[str, ...]
    """Of the objects that hold the parts, relative to the root of the store."""
    names: tuple[str, ...]
    """Of the parts, as the materializer expects them; in the order of `keys`."""
    safe: bool
    """Whether it can be decoded without running code. Only a hint: the file says it too, and decides."""
    meta: Mapping[str, JSON] = field(default_factory=dict)
    """For `aioartifacts.materializers.base.Parts.meta`."""
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    """The user's."""
    summary: Mapping[str, JSON] = field(default_factory=dict)
    producer: Mapping[str, str] = field(default_factory=dict)
    """Read off the path of a materialized artifact: project, date, run, step, name."""


def describe_folder(path: str, data: bytes, names: Collection[str] = ()) -> LegacyArtifact | None:
    """Describe what ``materialize`` wrote to *path*, or None if it was not FlowyML.

    Args:
        path: the artifact's path, which is a folder.
        data: the bytes of ``<path>/metadata.json``. Not always strict JSON: statistics of an array may be ``NaN``.
        names: what lies in the folder, relative to it. Needed only for the types with more files than one (Keras, TensorFlow).
    """
    fields = _object(data)
    if fields is None or "aioartifacts" in fields:
        return None
    recognised = _recognise(fields, names)
    if recognised is None:
        return None
    format, type_name, files, safe = recognised
    return LegacyArtifact(
        type=type_name,
        format=format,
        serializer=_text(fields, "serializer") or "flowyml",
        keys=tuple(f"{path}/{name}" for name in files),
        names=files,
        safe=safe,
        meta={key: fields[key] for key in ("type", "format", "name") if key in fields},
        summary={key: value for key, value in fields.items() if key not in _DESCRIBED},
        producer=_producer(path),
    )


def describe_bare(path: str, meta: bytes | None = None) -> LegacyArtifact:
    """Describe the bare pickle that ``save`` wrote to *path*; *meta* is the object under `bare_meta_key`, if there is one.

    Raises:
        RecordError: *meta* is damaged.
    """
    return LegacyArtifact(
        type="object",
        format=PICKLE,
        serializer="pickle",
        keys=(path,),
        names=("data.pkl",),
        safe=False,
        metadata={} if meta is None else user_metadata(meta, path=path),
    )


def bare_meta_key(path: str) -> str:
    """Key of the metadata file of a bare pickle.

    FlowyML calls ``pathlib.Path.with_suffix(".meta.json")``, which replaces what follows the last dot of the name: ``m-1.0`` and
    ``m-1.1`` share ``m-1.meta.json``, and whoever saved last is right. That cannot be told apart afterwards, so it is read as it is.
    """
    folder, slash, name = path.rpartition("/")
    dot = name.rfind(".")
    stem = name[:dot] if 0 < dot < len(name) - 1 else name
    return f"{folder}{slash}{stem}{META_SUFFIX}"


def user_metadata(data: bytes, *, path: str) -> dict[str, JSON]:
    """The user's metadata from *data*, the bytes of the ``stem.meta.json`` of the bare pickle at *path*.

    ``NaN`` and infinities are kept: FlowyML writes them.

    Raises:
        RecordError: the bytes are not a JSON object, because the writer was killed, say.
    """
    fields = _object(data)
    if fields is None:
        raise RecordError(
            f"the metadata that FlowyML wrote for {path!r} is damaged; remove {bare_meta_key(path)!r} to go without",
            path=path,
        )
    return fields


def _legal(key: str) -> bool:
    try:
        check_path(key)
    except InvalidPathError:
        return False
    return True


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _text(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _recognise(fields: Mapping[str, Any], names: Collection[str]) -> tuple[str, str, tuple[str, ...], bool] | None:
    """Format, type, files and safety; None for anything FlowyML did not write."""
    kind = _text(fields, "type")
    if kind is None:
        return None
    if fields.get("serializer") == "cloudpickle" and fields.get("format") == "pickle":
        file = _text(fields, "file")
        return None if file is None or "/" in file or not _legal(file) else (PICKLE, kind, (file,), False)
    if kind in ("pandas_dataframe", "pandas_series"):
        file = _PANDAS_FILES.get(_text(fields, "format") or "")
        name = "pandas.DataFrame" if kind == "pandas_dataframe" else "pandas.Series"
        return None if file is None else (PANDAS, name, (file,), True)
    if kind == "numpy_array":
        dtype = _text(fields, "dtype") or "object"
        return NUMPY, "numpy.ndarray", _FILES[kind], dtype != "object" and "'O'" not in dtype
    if kind == "sklearn_model":
        return PICKLE, _class(fields, "sklearn.base.BaseEstimator"), _FILES[kind], False
    family = kind.partition("_")[0]
    if kind in _FILES or kind == "tensorflow_keras_model":
        return f"flowyml-{family}", _class(fields, kind), _present(kind, names), False
    return None


def _present(kind: str, names: Collection[str]) -> tuple[str, ...]:
    if kind == "tensorflow_keras_model":
        return tuple(sorted(name for name in names if name.startswith(f"{_SAVED_MODEL}/")))
    files = _FILES[kind]
    return tuple(name for name in files if name in names) if len(files) > 1 else files


def _class(fields: Mapping[str, object], otherwise: str) -> str:
    module, name = _text(fields, "module"), _text(fields, "class_name")
    return f"{module}.{name}" if module and name else name or otherwise


def _producer(path: str) -> dict[str, str]:
    """Inverse of the layout ``project/date/run_id/data/step/name``; empty where the path is another."""
    segments = path.split("/")
    if len(segments) != 6 or segments[3] != "data":
        return {}
    project, day, run, _, step, name = segments
    return {"project": project, "date": day, "run": run, "step": step, "name": name}

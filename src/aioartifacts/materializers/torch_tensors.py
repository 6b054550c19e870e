"""Tensors as spans of memory: what of a storage belongs to them, and how they lie on it.

Only the bytes that tensors refer to are kept, so a view of two elements is two elements. Tensors that overlap keep doing so. A
tensor that is dense keeps its strides (channels last, transposed); one with gaps comes back contiguous, unless it overlaps another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.torch_file import DTYPES, Entry
from aioartifacts.types import JSON, KIB

COPIED_MAX = 64 * KIB
"""Bytes up to which a storage is copied when it is read, rather than left within the memory of the whole file."""
_COMPRESSED = {
    str(layout): layout for layout in (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
}


@dataclass(slots=True)
class _Strided:
    """A plain tensor on the CPU, and the record of it that is to be filled in."""

    name: str
    tensor: torch.Tensor
    record: dict[str, JSON]

    def extent(self) -> tuple[int, int]:
        """First and last byte within its storage."""
        size = self.tensor.element_size()
        first = self.tensor.storage_offset() * size
        return int(first), int(first + _reach(self.tensor.shape, self.tensor.stride()) * size)

    def geometry(self) -> tuple[object, ...]:
        tensor = self.tensor
        return tensor.dtype, tensor.storage_offset(), tensor.shape, tensor.stride()


class TensorWriter:
    """Collects tensors; each gets a number."""

    def __init__(self) -> None:
        self.records: list[JSON] = []
        self._numbers: dict[int, int] = {}
        self._strided: list[_Strided] = []
        self._kept: list[torch.Tensor] = []

    def add(self, tensor: torch.Tensor, name: str) -> int:
        """The number of *tensor*; the same one for the same object.

        Raises:
            Declined: it is of a kind, or carries something, that is not written here.
        """
        number = self._numbers.get(id(tensor))
        if number is not None:
            return number
        reason = _refusal(tensor)
        if reason:
            raise Declined(f"the tensor at {name or 'the top'} {reason}")
        self._kept.append(tensor)  # an id is only good as long as its object lives
        record: dict[str, JSON] = {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        if tensor.requires_grad:
            record["requires_grad"] = True
        if type(tensor) is torch.nn.Parameter:
            record["parameter"] = True
        if tensor.device.type != "cpu":
            record["device"] = str(tensor.device)
        plain = tensor.detach().resolve_conj().resolve_neg().cpu()
        if plain.layout is torch.strided:
            self._strided.append(_Strided(name or "data", plain, record))
        else:
            record["layout"] = str(plain.layout)
            if plain.layout is torch.sparse_coo:
                record["coalesced"] = plain.is_coalesced()
            for part, inner in _sparse_parts(plain).items():
                record[part] = self.add(inner, f"{name or 'data'}.{part}")
        self._numbers[id(tensor)] = len(self.records)
        self.records.append(record)
        return len(self.records) - 1

    def entries(self) -> list[Entry]:
        """The memory of all tensors. Fills in their records, so call it once, before they are written."""
        names: set[str] = {"__metadata__"}
        found: list[Entry] = []
        storages: dict[int, list[_Strided]] = {}
        for index, item in enumerate(self._strided):
            empty = item.tensor.numel() == 0
            storages.setdefault(-1 - index if empty else item.tensor.untyped_storage().data_ptr(), []).append(item)
        for items in storages.values():
            for group in _overlapping(items):
                name = base = group[0].name.encode("utf-8", "backslashreplace").decode()
                while name in names:
                    name = f"{base}#{len(names)}"
                names.add(name)
                found.append(_entry(name, group))
        return found


class TensorReader:
    """Tensors by number, over memory that *storage_of* gives by the name of an entry."""

    def __init__(self, records: Any, storage_of: Callable[[str], torch.UntypedStorage]) -> None:
        if not isinstance(records, list):
            raise ValueError("there is no table of tensors")
        self._records = records
        self._storage_of = storage_of
        self._made: dict[int, torch.Tensor] = {}

    def get(self, number: object) -> torch.Tensor:
        if type(number) is not int or not 0 <= number < len(self._records):
            raise ValueError(f"there is no tensor {number!r:.80}")
        made = self._made.get(number)
        if made is None:
            made = self._made[number] = self._make(number, self._records[number])
        return made

    def _make(self, number: int, record: Mapping[str, Any]) -> torch.Tensor:
        shape = _sizes(record["shape"])
        layout = record.get("layout")
        tensor = self._strided(record, shape) if layout is None else self._sparse(number, record, shape, layout)
        if record.get("device") is not None:
            tensor = tensor.to(torch.device(record["device"]))
        if record.get("parameter"):
            return torch.nn.Parameter(tensor, requires_grad=bool(record.get("requires_grad")))
        return tensor.requires_grad_() if record.get("requires_grad") else tensor

    def _strided(self, record: Mapping[str, Any], shape: tuple[int, ...]) -> torch.Tensor:
        empty = torch.empty(0, dtype=dtype_of(record["dtype"]))
        stride = _sizes(record["stride"])
        offset = record.get("offset", 0)
        storage = self._storage_of(record["entry"])
        if type(offset) is not int or offset < 0 or len(stride) != len(shape):
            raise ValueError("a tensor's strides do not fit its shape")
        if (offset + _reach(shape, stride)) * empty.element_size() > storage.nbytes():
            raise ValueError("a tensor reaches beyond its memory")  # set_ would make the memory larger
        return empty.set_(storage, offset, shape, stride)

    def _sparse(self, number: int, record: Mapping[str, Any], shape: tuple[int, ...], layout: str) -> torch.Tensor:
        inner = {}
        for part in ("compressed", "indices", "values"):
            if part in record:
                if record[part] >= number:
                    raise ValueError("a sparse tensor is made of itself")
                inner[part] = self.get(record[part])
        if layout == "torch.sparse_coo":
            coalesced = record.get("coalesced") is True
            return torch.sparse_coo_tensor(
                inner["indices"], inner["values"], shape, check_invariants=True, is_coalesced=coalesced
            )
        if layout not in _COMPRESSED:
            raise ValueError(f"unknown layout {layout!r:.80}")
        return torch.sparse_compressed_tensor(
            inner["compressed"],
            inner["indices"],
            inner["values"],
            shape,
            layout=_COMPRESSED[layout],
            check_invariants=True,
        )


def storage_reader(
    file: torch.UntypedStorage, places: Mapping[str, tuple[int, int]], *, copied: bool
) -> Callable[[str], torch.UntypedStorage]:
    """Storages over pieces of a whole file in memory; small ones, unless mapped, are copies."""
    made: dict[str, torch.UntypedStorage] = {}

    def storage_of(name: str) -> torch.UntypedStorage:
        if name not in made:
            first, last = places[name]
            piece = file[first:last] if last > first else torch.UntypedStorage(0)  # type: ignore[no-untyped-call]
            # Memory from elsewhere may begin at an odd place; what torch allocates does not.
            if (copied and piece.nbytes() <= COPIED_MAX) or piece.data_ptr() % 16:
                piece = piece.clone()
            made[name] = piece
        return made[name]

    return storage_of


def dtype_of(name: object) -> torch.dtype:
    """The dtype of a name that was read from an artifact.

    Raises:
        ValueError: this torch has none of that name, or one that needs more than a name.
    """
    dtype = getattr(torch, name, None) if isinstance(name, str) else None
    if not isinstance(dtype, torch.dtype) or str(dtype).startswith(("torch.qint", "torch.quint")):
        raise ValueError(f"{name!r:.80} is not a dtype of torch {torch.__version__}")
    return dtype


def _refusal(tensor: torch.Tensor) -> str | None:
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return f"is of class {type(tensor).__qualname__}"
    if tensor.is_quantized:
        return "is quantized"
    if tensor.is_nested:
        return "is nested"
    if tensor.device.type == "meta":
        return "has no data (device meta)"
    if tensor.layout not in (torch.strided, torch.sparse_coo, *_COMPRESSED.values()):
        return f"has the layout {tensor.layout}"
    if vars(tensor):
        return f"carries attributes of its own: {', '.join(sorted(vars(tensor)))[:80]}"
    if any(name is not None for name in getattr(tensor, "names", ())):
        return "has named dimensions"
    return None


def _sparse_parts(tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    if tensor.layout is torch.sparse_coo:
        return {"indices": tensor._indices(), "values": tensor._values()}
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return {"compressed": tensor.crow_indices(), "indices": tensor.col_indices(), "values": tensor.values()}
    return {"compressed": tensor.ccol_indices(), "indices": tensor.row_indices(), "values": tensor.values()}


def _overlapping(items: Iterable[_Strided]) -> list[list[_Strided]]:
    """Tensors of one storage, in groups that share bytes."""
    groups: list[list[_Strided]] = []
    end = -1
    for item in sorted(items, key=_Strided.extent):
        first, last = item.extent()
        if first < end:
            groups[-1].append(item)
            end = max(end, last)
        else:
            groups.append([item])
            end = last
    return groups


def _entry(name: str, group: list[_Strided]) -> Entry:
    """One piece of memory for tensors that overlap. Fills in their records."""
    one = group[0].tensor
    alignment = max(item.tensor.element_size() for item in group)
    shape: tuple[int, ...] | None = None
    if len({item.geometry() for item in group}) == 1:
        if not _is_dense(one.shape, one.stride()):
            one = one.contiguous()
            for item in group:
                item.tensor = one
        if one.is_contiguous():
            shape = tuple(one.shape)
    first = min(item.extent()[0] for item in group)
    first -= first % alignment
    last = max(item.extent()[1] for item in group)
    for item in group:
        item.record["entry"] = name
        item.record["stride"] = list(item.tensor.stride())
        offset = (item.extent()[0] - first) // item.tensor.element_size()
        if offset:
            item.record["offset"] = offset
    dtype = DTYPES.get(str(one.dtype).removeprefix("torch."))
    data = _memory(one.untyped_storage(), first, last - first)
    if shape is None or dtype is None:
        return Entry(name, "U8", (data.nbytes,), alignment, data)
    return Entry(name, dtype, shape, alignment, data)


def _memory(storage: torch.UntypedStorage, start: int, size: int) -> memoryview:
    if size == 0:
        return memoryview(b"")
    span: torch.Tensor = torch.empty(0, dtype=torch.uint8).set_(storage, start, (size,), (1,))
    memory: Any = span.numpy()
    return memoryview(memory)


def _reach(shape: Iterable[int], stride: Iterable[int]) -> int:
    """Elements from the first to the last, both counted."""
    total = 1
    for size, step in zip(shape, stride, strict=True):
        if size == 0:
            return 0
        total += (size - 1) * step
    return total


def _is_dense(shape: Iterable[int], stride: Iterable[int]) -> bool:
    expected = 1
    for step, size in sorted((step, size) for size, step in zip(shape, stride, strict=True) if size != 1):
        if step != expected:
            return size == 0
        expected *= size
    return True


def _sizes(given: Any) -> tuple[int, ...]:
    if (
        not isinstance(given, list)
        or len(given) > 64
        or any(type(size) is not int or size < 0 for size in given)
        or math.prod(max(size, 1) for size in given) >= 1 << 63
    ):
        raise ValueError(f"{str(given)[:80]} is no shape")
    return tuple(given)

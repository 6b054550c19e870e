"""Tensors, checkpoints and modules come back to the bit, and hostile files are refused."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from parts import load, roundtrip, written
from safetensors.torch import load as safetensors_load

from aioartifacts.errors import UntrustedArtifactError
from aioartifacts.materializers.base import Buffers, Declined
from aioartifacts.materializers.registry import MaterializerRegistry
from aioartifacts.materializers.torch import (
    PART,
    TREE,
    ModuleMaterializer,
    SafetensorsMaterializer,
    StateDictMaterializer,
    TorchMaterializer,
)
from aioartifacts.materializers.torch_file import Entry, layout

TORCH = TorchMaterializer()
SAFETENSORS = SafetensorsMaterializer()
MODULE = ModuleMaterializer()
GENERATOR = torch.Generator().manual_seed(0)


def bits(tensor: torch.Tensor) -> tuple[object, ...]:
    """All that makes a strided tensor."""
    data = tensor.detach().reshape(-1).clone().view(torch.uint8).numpy().tobytes()
    return type(tensor), tensor.dtype, tensor.shape, tensor.requires_grad, data


def bytes_of(value: int, dtype: torch.dtype, size: int = 6) -> torch.Tensor:
    return torch.arange(value, value + size * dtype.itemsize, dtype=torch.uint8).view(dtype)


DENSE: dict[str, torch.Tensor] = {
    **{
        str(dtype).removeprefix("torch."): bytes_of(60, dtype)
        for dtype in (
            *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
            *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
            *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e8m0fnu),
        )
    },
    "bool": torch.tensor([True, False, True]),
    "nan payload": torch.tensor([0x7FC00123, -4194303], dtype=torch.int32).view(torch.float32),
    "minus zero": torch.tensor([-0.0]),
    "zero dimensions": torch.tensor(3.5),
    "empty": torch.empty(0, 3),
    "channels last": torch.randn(2, 3, 4, 5, generator=GENERATOR).to(memory_format=torch.channels_last),
    "transposed": torch.arange(6).reshape(2, 3).T,
    "a view of a few": torch.arange(1000)[10:14],
    "requires grad": torch.ones(3, requires_grad=True),
    "parameter": torch.nn.Parameter(torch.ones(2, 2)),
    "frozen parameter": torch.nn.Parameter(torch.ones(2), requires_grad=False),
}


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", DENSE)
def test_dense_tensor(name: str, mmap: bool) -> None:
    back = roundtrip(TORCH, DENSE[name], trusted=False, mmap=mmap)
    assert bits(back) == bits(DENSE[name])
    assert back.stride() == DENSE[name].stride()


@pytest.mark.parametrize(
    "tensor",
    [torch.arange(40).reshape(5, 8)[::2, ::3], torch.arange(3).expand(4, 3), torch.arange(9.0).reshape(3, 3).diagonal()],
    ids=["strided", "expanded", "diagonal"],
)
def test_tensor_with_gaps_comes_back_contiguous(tensor: torch.Tensor) -> None:
    back = roundtrip(TORCH, tensor)
    assert bits(back) == bits(tensor)
    assert back.is_contiguous()


def test_conjugate_is_resolved() -> None:
    tensor = torch.tensor([1 + 2j, 3 - 4j]).conj()
    back = roundtrip(TORCH, tensor)
    assert back.tolist() == tensor.tolist()
    assert not back.is_conj()


def test_coo_keeps_its_indices_and_whether_they_are_coalesced() -> None:
    tensor = torch.sparse_coo_tensor([[1, 0, 1]], [1.0, 2.0, 3.0], (3,), check_invariants=True)
    back = roundtrip(TORCH, tensor)
    assert back.layout is torch.sparse_coo
    assert not back.is_coalesced()
    assert torch.equal(back._indices(), tensor._indices())
    assert torch.equal(back._values(), tensor._values())
    assert roundtrip(TORCH, tensor.coalesce()).is_coalesced()


@pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta state")
@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "bsc"])
def test_compressed_sparse(kind: str) -> None:
    dense = torch.tensor([[1.0, 0, 0, 2], [0, 0, 3, 0]])
    tensor = getattr(dense, f"to_sparse_{kind}")(*([(2, 2)] if kind.startswith("b") else []))
    back = roundtrip(TORCH, tensor)
    assert back.layout is tensor.layout
    assert torch.equal(back.to_dense(), dense)
    assert bits(back.values()) == bits(tensor.values())


def test_view_writes_only_its_own_bytes_without_a_copy() -> None:
    base = torch.zeros(1_000_000)
    body = TORCH.dump(base[500_000:500_002]).parts[0].body
    assert isinstance(body, Buffers)
    assert body.size < 1000
    base[500_000] = 7
    assert written(TORCH.dump(base[500_000:]))[PART] == written(TORCH.dump(base[500_000:].clone()))[PART]
    assert bytes(body.buffers[-1]) == bytes(base[500_000:500_002].clone().untyped_storage())


def test_tied_tensors_stay_tied_and_views_that_overlap_keep_overlapping() -> None:
    weight = torch.nn.Parameter(torch.randn(4, 4, generator=GENERATOR))
    base = torch.arange(10.0)
    back = roundtrip(TORCH, {"a": weight, "b": weight, "whole": base, "part": base[2:5], "ints": base.view(torch.int32)[:3]})
    assert back["a"] is back["b"]
    back["whole"][3] = 99
    assert back["part"].tolist() == [2, 99, 4]
    assert back["ints"].untyped_storage().data_ptr() == back["whole"].untyped_storage().data_ptr()


def test_views_far_apart_do_not_bring_what_lies_between() -> None:
    base = torch.zeros(1_000_000)
    assert len(written(TORCH.dump([base[:2], base[-2:]]))[PART]) < 1000


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, torch.Tensor):
        return bits(left) == bits(right) and left.stride() == right.stride()
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        attributes = same(dict(vars(left)), dict(vars(right))) if type(left) is not dict else True
        return attributes and list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return repr(left) == repr(right)


def checkpoint() -> dict[str, Any]:
    model, optimizer = trained()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "milestones": scheduler.state_dict()["milestones"],
        "rng": (torch.get_rng_state(), np.random.RandomState(0).get_state(), [1 << 70, -1]),
        "best": float("nan"),
        "loss": np.float64(0.1),
        7: {None: -0.0, (1, "x"): b"\0", True: 1 + 2j},
        "kinds": [torch.Size([1, 2]), torch.bfloat16, torch.device("cpu"), {3}, frozenset({4})],
    }


def test_checkpoint() -> None:
    back = roundtrip(TORCH, checkpoint(), trusted=False)
    assert same(back, checkpoint())
    assert type(back["milestones"]) is Counter
    assert type(back["model"]) is OrderedDict
    assert back["model"]._metadata == trained()[0].state_dict()._metadata  # type: ignore[attr-defined]


def test_mapped_tensors_can_be_changed_without_changing_the_file(tmp_path: Path) -> None:
    data = written(TORCH.dump(torch.zeros(100_000)))
    first, second = (load(TORCH, data, mmap=True) for _ in range(2))
    first += 1
    assert first.sum() == 100_000
    assert second.sum() == 0


def test_small_tensors_do_not_hold_on_to_the_whole_file() -> None:
    back = roundtrip(TORCH, {"large": torch.zeros(100_000), "small": torch.zeros(3)})
    assert back["small"].untyped_storage().nbytes() == 12
    back["small"].resize_(5)


class Wrapped(torch.Tensor):
    pass


class Opaque:
    pass


def with_attribute() -> torch.Tensor:
    tensor = torch.ones(2)
    tensor.note = "mine"  # type: ignore[attr-defined]
    return tensor


def cyclic() -> list[Any]:
    items: list[Any] = [torch.ones(1)]
    items.append(items)
    return items


def quantized() -> torch.Tensor:
    return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


@pytest.mark.filterwarnings("ignore:.*quantiz")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_attribute, "attributes of its own"),
        (quantized, "quantized"),
        (lambda: torch.empty(2, device="meta"), "no data"),
        (lambda: [torch.ones(2).as_subclass(Wrapped)], "Wrapped"),
        (lambda: {"model": torch.ones(1), "config": Opaque()}, r"Opaque at config"),
        (cyclic, "within itself"),
        (lambda: [torch.ones(1), "\ud800"], "surrogates"),
        (lambda: [torch.ones(1), np.array(["x"])], "numpy.ndarray at 1"),
    ],
    ids=["attribute", "quantized", "meta", "subclass", "other class", "cycle", "surrogate", "text array"],
)
def test_declined(make: Any, reason: str) -> None:
    with pytest.raises(Declined, match=reason):
        TORCH.dump(make())


def formats(obj: object) -> list[str]:
    return [candidate.format for candidate in MaterializerRegistry().candidates(obj)]


def test_dispatch() -> None:
    assert formats(torch.ones(1))[0] == "torch"
    assert formats(torch.nn.Parameter(torch.ones(1)))[0] == "torch"
    assert formats({"a": [torch.ones(1)]}) == ["json", "torch", "pickle"]
    assert formats(trained()[0].state_dict()) == ["json", "torch", "pickle"]
    assert formats({"a": 1}) == ["json", "pickle"]
    assert formats(torch.nn.Linear(1, 1)) == ["torch-module", "pickle"]


def test_a_dict_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom aioartifacts.materializers.registry import MaterializerRegistry\n"
        "print([c.format for c in MaterializerRegistry().candidates({'a': object()})], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "['json', 'pickle'] False"


def test_safetensors_reads_what_is_written() -> None:
    tensors = {"b": torch.randn(2, 3, generator=GENERATOR), "a": torch.arange(3, dtype=torch.int16), "c": DENSE["bfloat16"]}
    data = written(SAFETENSORS.dump(tensors))
    read = safetensors_load(data[PART])
    assert {name: bits(tensor) for name, tensor in read.items()} == {name: bits(tensor) for name, tensor in tensors.items()}
    assert same(load(SAFETENSORS, data, trusted=False), tensors)


def test_safetensors_reads_a_checkpoint() -> None:
    model, _ = trained()
    read = safetensors_load(written(TORCH.dump(model.state_dict()))[PART])
    assert all(bits(read[name]) == bits(tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: {"a": torch.ones(2, 3).T}, "contiguous"),
        (lambda: {"a": torch.eye(2).to_sparse()}, "contiguous"),
        (lambda: {"a": torch.ones(2, requires_grad=True)}, "gradient"),
        (lambda: {1: torch.ones(2)}, "under a name"),
        (lambda: dict.fromkeys("ab", torch.ones(2)), "shares memory"),
    ],
    ids=["transposed", "sparse", "gradient", "key", "tied"],
)
def test_safetensors_declines_what_it_would_lose(make: Any, reason: str) -> None:
    with pytest.raises(Declined, match=reason):
        SAFETENSORS.dump(make())


def test_module() -> None:
    model, _ = trained()
    model.eval()
    back = roundtrip(MODULE, model)
    assert type(back) is type(model)
    assert not back.training
    assert same(back.state_dict(), model.state_dict())
    assert same(roundtrip(MODULE, model, mmap=True).state_dict(), model.state_dict())


def test_module_is_not_loaded_without_trust() -> None:
    with pytest.raises(UntrustedArtifactError):
        roundtrip(MODULE, torch.nn.Linear(1, 1), trusted=False)


def test_state_dict_of_a_module() -> None:
    model, _ = trained()
    assert same(roundtrip(StateDictMaterializer(), model, trusted=False), model.state_dict())


def test_fresh_process_reads_a_module_of_a_script_and_a_checkpoint(tmp_path: Path) -> None:
    script = (
        "import sys, torch\nimport aioartifacts.sync as aioartifacts\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.layer = torch.nn.Linear(2, 1)\n"
        "    def forward(self, x):\n        return self.layer(x) + 1\n"
        "torch.manual_seed(0)\nnet = Net()\nstore = aioartifacts.LocalArtifactStore(sys.argv[1])\n"
        "store.save(net, 'net')\nstore.save({'net': net.state_dict(), 'epoch': 3}, 'checkpoint')\n"
    )
    reader = (
        "import sys, torch\nimport aioartifacts.sync as aioartifacts\n"
        "store = aioartifacts.LocalArtifactStore(sys.argv[1], trust=sys.argv[2])\n"
        "state = store.load('checkpoint')\nassert state['epoch'] == 3\n"
        "if sys.argv[2] == 'all':\n"
        "    net = store.load('net')\n    assert torch.equal(net.layer.weight, state['net']['layer.weight'])\n"
        "    assert torch.equal(net(torch.ones(1, 2)), net.layer(torch.ones(1, 2)) + 1)\n"
        "print('exact')"
    )
    for code, *arguments in ((script,), (reader, "all"), (reader, "data")):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, str(tmp_path), *arguments], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "exact"


# Hostile files.


def file(tree: object, tensors: object, data: bytes = bytes(64)) -> dict[str, bytes]:
    from io import BytesIO

    text = msgspec.json.encode({"tree": tree, "tensors": tensors}).decode()
    sink = BytesIO()
    layout([Entry("e", "U8", (len(data),), 8, data)], {TREE: text}).write_to(sink)
    return {PART: sink.getvalue()}


def strided(**changes: object) -> dict[str, object]:
    return {"dtype": "float32", "shape": [4], "stride": [1], "entry": "e", **changes}


@pytest.mark.parametrize(
    "tensors",
    [
        [strided(shape=[1 << 40])],
        [strided(shape=[17])],
        [strided(offset=13)],
        [strided(offset=-1)],
        [strided(stride=[1 << 62])],
        [strided(stride=[-1])],
        [strided(shape=[-4])],
        [strided(shape=[1 << 40, 1 << 40], stride=[0, 0])],
        [strided(shape=[2] * 65, stride=[0] * 65)],
        [strided(entry="f")],
        [strided(dtype="load")],
        [strided(dtype="qint8")],
        [strided(dtype="float32", stride=[])],
        [{"dtype": "float32", "shape": [3], "layout": "torch.sparse_coo", "indices": 0, "values": 0}],
        [
            strided(dtype="int64", shape=[1, 2], stride=[2, 1]),
            strided(shape=[3]),
            {"shape": [3], "layout": "torch.sparse_coo", "indices": 0, "values": 1},
        ],
        [],
        "x",
    ],
)
def test_hostile_tensors_are_refused(tensors: Any) -> None:
    with pytest.raises((ValueError, KeyError, RuntimeError, TypeError)):
        load(TORCH, file(["tensor", max(len(tensors) - 1, 0)], tensors), trusted=False)


@pytest.mark.parametrize(
    "tree",
    [["tensor", 1], ["tensor", True], ["eval", "1"], ["dtype", "load"], {"a": 1}, ["list", 3], ["list"], []],
    ids=str,
)
def test_hostile_trees_are_refused(tree: object) -> None:
    with pytest.raises((ValueError, KeyError, IndexError, TypeError)):
        load(TORCH, file(tree, [strided()]), trusted=False)


def test_deep_tree_is_refused() -> None:
    tree: object = 1
    for _ in range(150):
        tree = ["list", [tree]]
    with pytest.raises(ValueError, match="too deeply"):
        load(TORCH, file(tree, []), trusted=False)


def test_truncated_and_lying_files_are_refused() -> None:
    whole = written(TORCH.dump(torch.arange(20)))[PART]
    for data in (b"", whole[:7], whole[:40], whole[:-1], b"\xff" * 8 + whole[8:], whole[:8] + b"[" + whole[9:]):
        with pytest.raises((ValueError, RuntimeError, KeyError, struct.error)):
            load(TORCH, {PART: data}, trusted=False)


def test_summaries() -> None:
    assert TORCH.summary(torch.tensor([1.0, 3.0])) == {
        "shape": [2], "dtype": "float32", "device": "cpu", "min": 1.0, "max": 3.0,
    }  # fmt: skip
    found = TORCH.summary(checkpoint())
    assert found["class"] == "dict"
    assert MODULE.summary(torch.nn.Linear(2, 1)) == {
        "class": "torch.nn.modules.linear.Linear", "parameters": 3, "trainable": 3, "dtypes": ["float32"], "layers": {}, "training": True,
    }  # fmt: skip


def test_the_name_of_a_format_may_leave_out_the_package() -> None:
    (found,) = MaterializerRegistry().candidates(torch.nn.Linear(1, 1), "state_dict")
    assert found.format == "torch-state-dict"

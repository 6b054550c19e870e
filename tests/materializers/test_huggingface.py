"""Models and tokenizers of transformers, and data sets, come back as they were; nothing is fetched from anywhere."""

from __future__ import annotations

import io
import json
import os
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import pytest
import torch
import transformers
from parts import load, roundtrip, written
from tokenizers import Tokenizer, models, pre_tokenizers

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.huggingface import DatasetMaterializer, ModelMaterializer, TokenizerMaterializer
from aioartifacts.materializers.registry import MaterializerRegistry

MODEL = ModelMaterializer()
TOKENIZER = TokenizerMaterializer()
DATASET = DatasetMaterializer()
datasets.disable_progress_bars()
transformers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()


def bert(cls: Any = transformers.BertModel, **changes: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=30, **changes
    )
    return cls(config).eval()


def gpt() -> Any:
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=30, n_positions=8)).eval()


MODELS: dict[str, Any] = {
    "encoder": bert,
    "classifier": lambda: bert(transformers.BertForSequenceClassification, num_labels=3, id2label={0: "a", 1: "b", 2: "ü"}),
    "tied weights": gpt,
    "bfloat16": lambda: bert().to(torch.bfloat16),
    "in training": lambda: bert().train(),
}


@pytest.mark.parametrize("name", MODELS)
def test_model(name: str) -> None:
    model = MODELS[name]()
    back = roundtrip(MODEL, model, trusted=False)
    assert type(back) is type(model)
    assert back.training is model.training
    left, right = model.state_dict(), back.state_dict()
    assert list(left) == list(right)
    for key, tensor in left.items():
        assert tensor.dtype == right[key].dtype
        assert torch.equal(tensor.view(torch.uint8), right[key].view(torch.uint8))


def test_tied_weights_stay_tied() -> None:
    back = roundtrip(MODEL, gpt())
    assert back.lm_head.weight is back.transformer.wte.weight


def test_model_of_another_class_is_declined_and_goes_on_to_torch() -> None:
    class Own(transformers.BertModel):  # type: ignore[misc]
        pass

    model = bert(Own)
    with pytest.raises(Declined, match="not a class of transformers"):
        MODEL.dump(model)
    assert [candidate.format for candidate in MaterializerRegistry().candidates(model)] == ["transformers", "torch-module", "pickle"]


def test_frozen_parameters_are_declined() -> None:
    model = bert()
    next(model.parameters()).requires_grad_(False)
    with pytest.raises(Declined, match="frozen"):
        MODEL.dump(model)


def tokenizer(**settings: Any) -> Any:
    inner = Tokenizer(models.WordLevel({"a": 0, "bü": 1, "[UNK]": 2, "[PAD]": 3}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", **settings)


@pytest.mark.parametrize(
    "settings",
    [{}, {"model_max_length": 7, "padding_side": "left"}, {"chat_template": "{{ messages[0] }}"}],
    ids=["plain", "settings", "template"],
)
def test_tokenizer(settings: dict[str, Any]) -> None:
    made = tokenizer(**settings)
    back = roundtrip(TOKENIZER, made, trusted=False)
    assert type(back) is type(made)
    assert back("a bü c", padding="max_length", max_length=5) == made("a bü c", padding="max_length", max_length=5)
    assert back.backend_tokenizer.to_str() == made.backend_tokenizer.to_str()
    assert (back.chat_template, back.model_max_length, back.padding_side) == (
        made.chat_template, made.model_max_length, made.padding_side,
    )  # fmt: skip


def dataset() -> Any:
    return datasets.Dataset.from_dict(
        {"x": [1, 2, None], "y": ["a", "ü", ""], "z": [[1.5], [], [float("nan")]], "label": [0, 1, 0]},
        features=datasets.Features(
            x=datasets.Value("int16"), y=datasets.Value("string"), z=datasets.List(datasets.Value("float32")),
            label=datasets.ClassLabel(names=["no", "yes"]),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [dataset, lambda: dataset().select([2, 0]), lambda: dataset().with_format("torch")],
    ids=["plain", "selected", "formatted"],
)
def test_dataset(make: Any) -> None:
    data = make()
    back = roundtrip(DATASET, data, trusted=False)
    assert type(back) is datasets.Dataset
    assert back.features == data.features
    assert back.format == data.format
    assert str(back.with_format(None)[:]) == str(data.with_format(None)[:])
    assert back.split == data.split


def test_dataset_that_is_not_read_back_is_declined() -> None:
    with pytest.raises(Declined, match="read it back"):
        DATASET.dump(dataset().select([]))


def test_dataset_dict() -> None:
    data = datasets.DatasetDict(train=dataset(), test=dataset().select([1]))
    back = roundtrip(DATASET, data, trusted=False)
    assert type(back) is datasets.DatasetDict
    assert {name: str(item[:]) for name, item in back.items()} == {name: str(item[:]) for name, item in data.items()}
    assert next(MaterializerRegistry().candidates(data)).format == "datasets"


@pytest.mark.parametrize("name", ["__init__", "torch", "AutoModel", "pipeline", None])
def test_unknown_classes_are_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="is no PreTrained"):
        load(MODEL, {"config.json": b"{}"}, {"class": name}, trusted=False)


def test_folders_with_other_files_are_refused() -> None:
    data = written(MODEL.dump(bert()))
    for extra in ("pytorch_model.bin", "modeling_own.py", "sub/config.json"):
        with pytest.raises(ValueError, match="other files"):
            load(MODEL, {**data, extra: b""}, {"class": "BertModel"}, trusted=False)
    with pytest.raises(ValueError, match="other files"):
        load(TOKENIZER, {"tokenizer.json": b"{}", "own.py": b""}, {"class": "PreTrainedTokenizerFast"}, trusted=False)


@pytest.mark.parametrize("key", ["vocab_size", "hidden_size", "max_position_embeddings"])
def test_configuration_of_a_huge_model_is_refused(key: str) -> None:
    dump = MODEL.dump(bert())
    data = written(dump)
    config = {**json.loads(data["config.json"]), key: 10**8}
    with pytest.raises(ValueError, match="far more bytes than there are weights"):
        load(MODEL, {**data, "config.json": json.dumps(config).encode()}, dump.meta, trusted=False)


def test_compressed_rows_are_refused() -> None:
    import pyarrow as pa

    dump = DATASET.dump(datasets.Dataset.from_dict({"a": [0] * 10_000}))
    data = written(dump)
    (name,) = (name for name in data if name.endswith(".arrow"))
    table, target = pa.ipc.open_stream(data[name]).read_all(), io.BytesIO()
    with pa.ipc.new_stream(target, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    packed = {**data, name: target.getvalue()}
    assert load(DATASET, packed, dump.meta, trusted=True).num_rows == 10_000
    with pytest.raises(ValueError, match="compressed"):
        load(DATASET, packed, dump.meta, trusted=False)


def test_summaries() -> None:
    found = MODEL.summary(bert())
    assert found["class"] == "transformers.BertModel"
    assert found["config"]["hidden_size"] == 8  # type: ignore[index, call-overload]
    assert TOKENIZER.summary(tokenizer())["tokens"] == 4
    assert DATASET.summary(dataset())["rows"] == 3

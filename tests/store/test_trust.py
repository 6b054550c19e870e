"""What a store decodes, and what it refuses before a byte of it is decoded."""

from __future__ import annotations

import os
import pickle
import sys

import numpy as np
import pytest
from opened import BIG, beneath, document, everything, forge, over, part, read, write

from aioartifacts import (
    ArtifactError,
    DecodeError,
    IntegrityError,
    InvalidConfigError,
    LocalArtifactStore,
    MemoryArtifactStore,
    RecordError,
    UntrustedArtifactError,
)
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.testing import AsyncObjectStoreAdapter, flip_bit

pytestmark = pytest.mark.asyncio

KEY = b"k" * 32
OTHER_KEY = b"o" * 32
ran: list[str] = []


def run_code(*args):
    ran.append("code")
    return "decoded"


class Code:
    """Runs code when it is unpickled."""

    def __init__(self, size=0):
        self.pad = b"x" * size

    def __reduce__(self):
        return run_code, (self.pad,)


@pytest.fixture(autouse=True)
def nothing_ran():
    ran.clear()


unpickled: list[str] = []
_watching = False


def _hook(event, args):
    if _watching and event == "pickle.find_class":
        unpickled.append(f"{args[0]}.{args[1]}")


sys.addaudithook(_hook)


@pytest.fixture
def unpickling():
    """What has been looked up by unpicklers, as the interpreter's audit events tell."""
    global _watching
    unpickled.clear()
    _watching = True
    yield unpickled
    _watching = False


CODE = [Code(), Code(100_000), [Code()], {"a": [Code()]}]


@pytest.mark.parametrize("obj", CODE)
async def test_data_refuses_what_can_run_code(opened, unpickling, obj):
    await opened().save(obj, "a")
    with pytest.raises(UntrustedArtifactError, match="trust='all'") as caught:
        await opened(trust="data").load("a")
    assert (caught.value.path, caught.value.operation, caught.value.format) == ("a", "load", "pickle")
    assert (ran, unpickling) == ([], [])


async def test_all_decodes_it(opened, unpickling):
    await opened().save(Code(), "a")
    assert await opened(trust="all").load("a") == "decoded"
    assert ran == ["code"]
    assert any(name.endswith("run_code") for name in unpickling)


@pytest.mark.parametrize("obj", [{"a": (1, {2})}, "text", b"bytes", np.arange(5), BIG], ids=lambda obj: type(obj).__name__)
@pytest.mark.parametrize("trust", ["data", "signed", "all"])
async def test_data_is_decoded_whatever_the_trust(opened, unpickling, obj, trust):
    await opened().save(obj, "a")
    keys = {"signing_key": KEY} if trust == "signed" else {}
    loaded = await opened(trust=trust, **keys).load("a")
    assert type(loaded) is type(obj)
    np.testing.assert_equal(loaded, obj)
    assert unpickling == []


async def test_saving_is_never_refused(opened):
    await opened(trust="data").save(Code(), "a")
    assert (await opened(trust="data").info("a")).safe is False
    assert await opened(trust="all").load("a") == "decoded"


@pytest.mark.parametrize("safe", [True, 1, "true"])
async def test_record_that_calls_a_pickle_safe_is_not_believed(opened, objects, unpickling, safe):
    await opened().save(Code(), "a")
    forge(objects, "a", document(objects, "a") | {"safe": safe})
    with pytest.raises((UntrustedArtifactError, RecordError)):
        await opened(trust="data").load("a")
    assert (ran, unpickling) == ([], [])


@pytest.mark.parametrize(
    "format",
    ["npy", "json", "str", "bytes", "numpy-scalar", "numpy-masked", "dataclass", "namedtuple", "enum", "flowyml-numpy", "flowyml-pandas"],
)
async def test_pickle_under_the_name_of_a_safe_format_is_not_unpickled(opened, objects, unpickling, format):
    await opened().save(Code(), "a")
    forge(objects, "a", document(objects, "a") | {"safe": True, "format": format})
    with pytest.raises(ArtifactError):
        await opened(trust="data").load("a")
    assert (ran, unpickling) == ([], [])


async def test_array_of_objects_is_not_unpickled(opened, objects, unpickling):
    """An .npy file of objects is a pickle inside."""
    import io

    stream = io.BytesIO()
    np.save(stream, np.array([Code()], dtype=object), allow_pickle=True)
    await opened().save(np.arange(2.0), "a")
    fields = document(objects, "a")
    from base64 import b64encode

    from aioartifacts.checksum import crc32c, hex32

    content = stream.getvalue()
    fields["size"] = fields["parts"][0]["size"] = len(content)
    fields["parts"][0] |= {"crc32c": hex32(crc32c(content)), "data": b64encode(content).decode()}
    forge(objects, "a", fields | {"meta": {}})
    with pytest.raises(ArtifactError):
        await opened(trust="data").load("a")
    assert (ran, unpickling) == ([], [])


# Signed


async def test_signed_pickle_is_decoded_by_who_has_the_key(opened):
    store = opened(trust=None, signing_key=KEY)
    await store.save_many({"small": Code(), "big": Code(100_000)})
    assert (await store.info("big")).signed is True
    assert await store.load_many(["small", "big"]) == {"small": "decoded", "big": "decoded"}
    assert (await opened(trust="data").info("big")).signed is False


async def test_key_may_be_given_by_a_function(opened):
    await opened(trust=None, signing_key=lambda: KEY).save(Code(), "a")
    assert await opened(trust=None, signing_key=KEY).load("a") == "decoded"


async def test_function_that_gives_no_key_is_told(opened, objects):
    store = opened(trust=None, signing_key=lambda: b"short")
    with pytest.raises(InvalidConfigError, match="32"):
        await store.save(BIG, "a")
    assert everything(objects) == {}


async def test_wrong_key_decodes_data_only(opened, unpickling):
    await opened(trust=None, signing_key=KEY).save_many({"code": Code(), "data": [1]})
    other = opened(trust=None, signing_key=OTHER_KEY)
    assert await other.load("data") == [1]
    assert (await other.info("code")).signed is False
    with pytest.raises(UntrustedArtifactError, match="no valid signature"):
        await other.load("code")
    assert (ran, unpickling) == ([], [])


async def test_keys_are_rotated(opened):
    await opened(trust=None, signing_key=KEY).save(Code(), "old")
    new = opened(trust=None, signing_key=OTHER_KEY, verification_keys=(KEY,))
    await new.save(Code(), "new")
    assert await new.load_many(["old", "new"]) == {"old": "decoded", "new": "decoded"}
    with pytest.raises(UntrustedArtifactError):
        await opened(trust=None, signing_key=KEY).load("new")


async def test_unsigned_pickle_is_refused_by_a_signed_store(opened):
    await opened().save(Code(), "a")
    with pytest.raises(UntrustedArtifactError, match="no valid signature"):
        await opened(trust=None, signing_key=KEY).load("a")
    assert ran == []


async def test_trust_can_be_less_than_the_key_allows(opened):
    store = opened(trust="data", signing_key=KEY)
    await store.save(Code(), "a")
    with pytest.raises(UntrustedArtifactError):
        await store.load("a")
    assert ran == []


@pytest.mark.parametrize("field", ["format", "type", "metadata", "write_id", "created", "safe"])
async def test_signature_covers_the_record(opened, objects, field):
    store = opened(trust=None, signing_key=KEY)
    await store.save(Code(), "a", {"n": 1})
    fields = document(objects, "a")
    changed = {"format": "pickle ", "type": "x.Y", "metadata": {"n": 2}, "write_id": "0" * 32, "created": "", "safe": True}[field]
    forge(objects, "a", fields | {field: changed})
    with pytest.raises(ArtifactError):
        await store.load("a")
    assert ran == []


async def test_signature_of_another_path_is_worth_nothing(opened, objects):
    store = opened(trust=None, signing_key=KEY)
    await store.save(Code(), "a")
    write(objects, "b/metadata.json", read(objects, "a/metadata.json"))
    with pytest.raises(RecordError):
        await store.load("b")
    forge(objects, "b", document(objects, "a") | {"path": "b"})
    with pytest.raises(UntrustedArtifactError):
        await store.load("b")
    assert ran == []


@pytest.mark.parametrize("signature", ["", "0" * 64, "ü" * 32, None])
async def test_bad_signature_is_none(opened, objects, signature):
    store = opened(trust=None, signing_key=KEY)
    await store.save(Code(), "a")
    forge(objects, "a", document(objects, "a") | {"signature": signature})
    with pytest.raises(UntrustedArtifactError):
        await store.load("a")
    assert ran == []


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("mmap", [True, False])
async def test_signature_covers_the_parts(opened, objects, verify, mmap):
    """Also when the caller spares the verification: unpickling what nobody signed is not his to choose."""
    store = opened(trust=None, signing_key=KEY)
    await store.save(Code(100_000), "a")
    key = part(objects, "a")
    write(objects, key, flip_bit(50_000)(read(objects, key)))
    with pytest.raises(IntegrityError):
        await store.load("a", verify=verify, mmap=mmap)
    assert ran == []


async def test_part_of_the_same_crc_is_not_what_was_signed(opened, objects):
    """crc32c can be forged; sha256, which the signature covers, cannot."""
    store = opened(trust=None, signing_key=KEY)
    await store.save(Code(100_000), "a")
    key = part(objects, "a")
    data = bytearray(read(objects, key))
    target = bytes(data)
    _forge_crc(data, target)
    assert bytes(data) != target
    write(objects, key, bytes(data))
    with pytest.raises(IntegrityError) as caught:
        await store.load("a")
    assert len(str(caught.value.expected)) == 64
    assert ran == []


def _forge_crc(data, target):
    """Change two places of *data* such that its crc32c stays: the polynomial itself has a crc of zero, so add it."""
    # CRC-32C is linear: adding a multiple of the generator polynomial (33 bits, reflected) does not change it.
    polynomial = 0x1EDC6F41 | 1 << 32
    reflected = int(f"{polynomial:033b}"[::-1], 2)
    for index, byte in enumerate(reflected.to_bytes(5, "little")):
        data[60_000 + index] ^= byte


async def test_flowyml_s_artifacts_are_never_signed(opened, objects):
    write(objects, "old", pickle.dumps(Code(), 4))
    with pytest.raises(UntrustedArtifactError):
        await opened(trust=None, signing_key=KEY).load("old")
    assert ran == []


# The key is a secret


async def test_key_is_shown_nowhere(kind, opened, objects):
    secret = b"correct-horse-battery-staple-0123"
    store = opened(trust=None, signing_key=secret)
    await store.save(Code(), "a")
    shown = [repr(store), str(store), repr(store.to_dict()), repr(store._config), repr(store._config.keys)]
    for call in (lambda: store.load("missing"), lambda: store.save(1, "../x"), lambda: store.save(Bad(), "b")):
        with pytest.raises(ArtifactError) as caught:
            await call()
        shown += [str(caught.value), repr(caught.value), repr(caught.value.__dict__)]
        pickle.dumps(caught.value)
    assert not any("correct-horse" in text for text in shown)
    assert not any(b"correct-horse" in data for data in everything(objects).values())


class Bad:
    def __reduce__(self):
        raise ValueError("no")


async def test_store_with_a_key_is_not_pickled(root):
    store = LocalArtifactStore(root, signing_key=KEY)
    with pytest.raises(InvalidConfigError, match="signing keys"):
        pickle.dumps(store)
    with pytest.raises(InvalidConfigError, match="signing keys"):
        pickle.dumps(store.run("r"))


# The default


async def test_memory_is_ours():
    store = MemoryArtifactStore()
    await store.save(Code(), "a")
    assert await store.load("a") == "decoded"


async def test_folder_of_ours_is_trusted(root):
    root.mkdir(mode=0o755)
    store = LocalArtifactStore(root, durability="process")
    await store.save(Code(), "a")
    assert await store.load("a") == "decoded"


async def test_folder_that_is_not_there_yet_is_ours(root):
    store = LocalArtifactStore(root, durability="process")
    await store.save(Code(), "a")
    assert await store.load("a") == "decoded"


@pytest.fixture
def point(tmp_path, monkeypatch):
    """An instance of a dataclass whose module can be imported, and is not."""
    (tmp_path / "imported_by_the_load.py").write_text(
        "from dataclasses import dataclass\n\n@dataclass\nclass Point:\n    x: int\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from imported_by_the_load import Point

    yield Point(1)
    sys.modules.pop("imported_by_the_load", None)


@pytest.mark.parametrize("kind", ["local", "memory"])
async def test_what_is_ours_may_import_the_modules_of_its_classes(kind, opened, point):
    """As a pickle may: what can be loaded does not depend on which format was found for it."""
    store = opened(trust=None)
    await store.save_many({"one": point, "list": [point]})
    assert [(await store.info(path)).format for path in ("one", "list")] == ["dataclass", "json"]
    for path in ("one", "list"):
        sys.modules.pop("imported_by_the_load", None)
        assert "Point(x=1)" in str(await store.load(path))


async def test_strangers_may_not_have_modules_imported(root, point):
    root.mkdir()
    os.chmod(root, 0o777)
    store = LocalArtifactStore(root, durability="process")
    await store.save(point, "one")
    del sys.modules["imported_by_the_load"]
    with pytest.raises(UntrustedArtifactError, match="Import imported_by_the_load first"):
        await store.load("one")
    assert "imported_by_the_load" not in sys.modules


@pytest.mark.parametrize("obj", ["text", b"bytes", np.arange(5), BIG], ids=lambda obj: type(obj).__name__)
async def test_nobody_asks_whose_folder_it_is_where_that_does_not_matter(root, monkeypatch, obj):
    store = LocalArtifactStore(root, durability="process")
    await store.save(obj, "a")
    monkeypatch.setattr(LocalObjectStore, "doubt", None)
    np.testing.assert_equal(await store.load("a"), obj)


async def test_refusal_says_why_the_folder_is_not_ours(root, monkeypatch):
    root.mkdir()
    os.chmod(root, 0o777)
    store = LocalArtifactStore(root, durability="process")
    await store.save(Code(), "a")
    with pytest.raises(UntrustedArtifactError, match=rf"everybody can write to the folder {root} \(mode 0777\)"):
        await store.load("a")
    os.chmod(root, 0o700)
    owner = os.stat(root).st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(UntrustedArtifactError, match=rf"the folder {root} belongs to another user \(uid {owner};"):
        await store.load("a")
    with pytest.raises(UntrustedArtifactError) as chosen:
        await LocalArtifactStore(root, trust="data").load("a")
    assert "by default" not in chosen.value.message


async def test_folder_that_all_can_write_to_is_not_ours(root):
    root.mkdir()
    os.chmod(root, 0o777)
    store = LocalArtifactStore(root, durability="process")
    await store.save_many({"code": Code(), "data": [1]})
    assert await store.load("data") == [1]
    with pytest.raises(UntrustedArtifactError, match="trust='all'"):
        await store.load("code")
    assert await LocalArtifactStore(root, trust="all").load("code") == "decoded"


async def test_async_store_is_not_ours():
    from aioartifacts import ArtifactStore

    store = ArtifactStore(AsyncObjectStoreAdapter(beneath("memory", None)))
    await store.save(Code(), "a")
    with pytest.raises(UntrustedArtifactError):
        await store.load("a")
    assert ran == []


async def test_key_takes_the_place_of_the_owner(root):
    await LocalArtifactStore(root, durability="process").save(Code(), "a")
    with pytest.raises(UntrustedArtifactError):
        await LocalArtifactStore(root, signing_key=KEY).load("a")


async def test_trust_is_none_of_the_artifact_s_business(kind, objects):
    await over(kind, objects, trust="all").save(Code(), "a", {"trust": "all"})
    with pytest.raises(UntrustedArtifactError):
        await over(kind, objects, trust="data").load("a")


async def test_unreadable_pickle_is_a_decode_error(opened, objects):
    await opened().save(Code(100_000), "a")
    write(objects, part(objects, "a"), b"garbage" * 20_000)
    with pytest.raises((DecodeError, IntegrityError)):
        await opened().load("a", verify=False)

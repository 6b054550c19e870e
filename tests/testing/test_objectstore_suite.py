"""The suite notices stores that break a law: each of these is right but for one thing."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import threading
import unicodedata
from dataclasses import replace
from urllib.parse import unquote

import pytest
from dict_store import DictObjectStore, DictSuite, written

from aioartifacts.errors import ArtifactError, ArtifactExistsError, StoreError
from aioartifacts.objects.base import AsyncObjectStore, Buffers
from aioartifacts.testing import AsyncObjectStoreAdapter
from aioartifacts.testing.driving import StoreUnderTest
from aioartifacts.testing.payloads import check_bytes, content
from aioartifacts.testing.rival_laws import RIVALS
from aioartifacts.types import MIB


class WritesInPlace(DictObjectStore):
    def put(self, key, body, *, if_generation=None):
        self.check(key, if_generation)
        self.write(key, b"")

        def append(data):
            self.write(key, self.objects[key][0] + bytes(data))

        body.write_to(type("Sink", (), {"write": staticmethod(append)}))
        return self.head(key)


class LeavesDrafts(DictObjectStore):
    def put(self, key, body, *, if_generation=None):
        self.write("draft", b"")
        info = super().put(key, body, if_generation=if_generation)
        del self.objects["draft"]
        return info


class ShowsDrafts(DictObjectStore):
    def put(self, key, body, *, if_generation=None):
        self.write("draft", b"")
        try:
            return super().put(key, body, if_generation=if_generation)
        finally:
            del self.objects["draft"]


class WrapsErrorsOfTheBody(DictObjectStore):
    def put(self, key, body, *, if_generation=None):
        try:
            return super().put(key, body, if_generation=if_generation)
        except ArtifactError:
            raise
        except Exception as error:
            raise StoreError("the body failed", path=key) from error


class KeepsWhatItIsGiven(DictObjectStore):
    def put(self, key, body, *, if_generation=None):
        pieces = []
        body.write_to(type("Sink", (), {"write": staticmethod(pieces.append)}))
        return super().put(key, Buffers(*pieces), if_generation=if_generation)


class ChecksThenWrites(DictObjectStore):
    def __init__(self):
        super().__init__()
        self.line = threading.Barrier(RIVALS)

    def put(self, key, body, *, if_generation=None):
        data = written(body)
        self.check(key, if_generation)
        self.line.wait(30)
        self.write(key, data)
        return self.head(key)


class OverwritesAlways(DictObjectStore):
    def check(self, key, if_generation):
        pass


class CreatesOnly(DictObjectStore):
    def put(self, key, body, *, if_generation=None):
        return super().put(key, body, if_generation=0)


class ReplacesWhatIsGone(DictObjectStore):
    def check(self, key, if_generation):
        if key in self.objects or if_generation == 0:
            super().check(key, if_generation)


class CallsEveryRefusalExisting(DictObjectStore):
    def check(self, key, if_generation):
        try:
            super().check(key, if_generation)
        except ArtifactError:
            raise ArtifactExistsError("it exists", path=key) from None


class KeepsItsGeneration(DictObjectStore):
    def write(self, key, data):
        self.objects[key] = (data, 1)
        return 1


class TellsNoGeneration(DictObjectStore):
    def get(self, key, **options):
        data = super().get(key, **options)
        return replace(data, info=replace(data.info, generation=None))


class TellsAnotherGeneration(DictObjectStore):
    def head(self, key):
        return replace(super().head(key), generation=-1)


class DeletesOnlyWhatIsThere(DictObjectStore):
    def delete(self, key, *, if_generation=None):
        self.head(key)
        super().delete(key, if_generation=if_generation)


class DeletesAlways(DictObjectStore):
    def delete(self, key, *, if_generation=None):
        super().delete(key)


class DeletesWhatIsBelow(DictObjectStore):
    def delete(self, key, *, if_generation=None):
        super().delete(key, if_generation=if_generation)
        for below in [k for k in self.objects if k.startswith(key.rpartition("/")[0] + "/")]:
            super().delete(below)


class ListsByCharacters(DictObjectStore):
    def list(self, prefix="", *, name=None):
        return (info for info in super().list(name=name) if info.key.startswith(prefix))


class ListsBelowOnly(DictObjectStore):
    def list(self, prefix="", *, name=None):
        return (info for info in super().list(prefix, name=name) if info.key != prefix)


class ListsOnePage(DictObjectStore):
    def list(self, prefix="", *, name=None):
        for _, info in zip(range(1000), super().list(prefix, name=name), strict=False):
            yield info


class ListsNamesByEnding(DictObjectStore):
    def list(self, prefix="", *, name=None):
        return (info for info in super().list(prefix) if info.key.endswith(name or ""))


class FailsWhenListedObjectsGo(DictObjectStore):
    def list(self, prefix="", *, name=None):
        for info in list(super().list(prefix, name=name)):
            yield self.head(info.key)


class Respells(DictObjectStore):
    def spell(self, key: str) -> str:
        raise AssertionError

    def put(self, key, body, **options):
        return replace(super().put(self.spell(key), body, **options), key=key)

    def get(self, key, **options):
        return super().get(self.spell(key), **options)

    def delete(self, key, **options):
        super().delete(self.spell(key), **options)


class Normalises(Respells):
    def spell(self, key):
        return unicodedata.normalize("NFC", key)


class Folds(Respells):
    def spell(self, key):
        return key.lower()


class Decodes(Respells):
    def spell(self, key):
        return unquote(key)


class RaisesKeyErrors(DictObjectStore):
    def read(self, key):
        if key not in self.objects:
            raise KeyError(key)
        return super().read(key)


class FindsFolders(DictObjectStore):
    def read(self, key):
        if any(k.startswith(key + "/") for k in self.objects):
            self.objects.setdefault(key, (b"", 1))
        return super().read(key)


class TellsTheSizeOfTheRange(DictObjectStore):
    def get(self, key, **options):
        data = super().get(key, **options)
        return replace(data, info=replace(data.info, size=len(data.data)))


class RefusesRangesBeyondTheEnd(DictObjectStore):
    def get(self, key, *, start=0, length=None, into=None):
        if start > self.head(key).size:
            raise StoreError("416", path=key)
        return super().get(key, start=start, length=length, into=into)


class TakesNoLengthForAll(DictObjectStore):
    def get(self, key, *, start=0, length=None, into=None):
        return super().get(key, start=start, length=length or None, into=into)


class CopiesOutOfTheView(DictObjectStore):
    def get(self, key, **options):
        data = super().get(key, **options)
        return replace(data, data=bytes(data.data))


class MapsForWriting(DictObjectStore):
    def map(self, key):
        return memoryview(bytearray(super().map(key)))


class StopsAtTheFirstFailure(DictObjectStore):
    def put_many(self, puts):
        return [self.put(put.key, put.body, if_generation=put.if_generation) for put in puts]


class AnswersInterrupts(DictObjectStore):
    def put_many(self, puts):
        answers = []
        for put in puts:
            try:
                answers.append(self.put(put.key, put.body, if_generation=put.if_generation))
            except BaseException as error:
                answers.append(error)
        return answers


class ForgetsPreconditionsOfBatches(DictObjectStore):
    def put_many(self, puts):
        return super().put_many([replace(put, if_generation=None) for put in puts])


class TakesNeighboursForItself(DictObjectStore):
    def relative(self, location):
        return location.removeprefix(self.url).lstrip("/") if location.startswith(self.url) else None


class PicklesItsObjects(DictObjectStore):
    def __reduce__(self):
        return (_with_objects, (type(self), self.objects))


def _with_objects(cls, objects):
    store = cls()
    store.objects = objects
    return store


class FailsToPickle(DictObjectStore):
    def __reduce__(self):
        raise pickle.PicklingError("a lock")


class HasBytesInItsConfiguration(DictObjectStore):
    def config(self):
        return {"kind": b"dict"}


class EndsItsUrlInASlash(DictObjectStore):
    url = "dict://here/"


class LeavesAProbe(DictObjectStore):
    def validate(self):
        self.write("probe", b"")


class CommitsAfterCancellation(AsyncObjectStoreAdapter):
    async def put(self, key, body, *, if_generation=None):
        return await asyncio.shield(asyncio.ensure_future(self._put(key, body, if_generation)))

    async def _put(self, key, body, if_generation):
        pieces = [bytes(chunk) async for chunk in body.chunks(MIB)]
        return self.inner.put(key, Buffers(*pieces), if_generation=if_generation)


class CommitsALittleLater(AsyncObjectStoreAdapter):
    async def put(self, key, body, *, if_generation=None):
        pieces = [bytes(chunk) async for chunk in body.chunks(MIB)]
        try:
            for _ in range(5):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            _after_turns(8, lambda: self.inner.put(key, Buffers(*pieces)))
            raise
        return self.inner.put(key, Buffers(*pieces), if_generation=if_generation)


def _after_turns(turns, function):
    """Call *function* a few turns of the loop from now: when the cancelled task, and whoever waited for it, are done."""
    asyncio.get_running_loop().call_soon(*((_after_turns, turns - 1, function) if turns else (function,)))


class KeepsChunks(AsyncObjectStoreAdapter):
    async def put(self, key, body, *, if_generation=None):
        pieces = [chunk async for chunk in body.chunks(MIB)]
        return self.inner.put(key, Buffers(*pieces), if_generation=if_generation)


class LeavesTheBodyOpen(AsyncObjectStoreAdapter):
    async def put(self, key, body, *, if_generation=None):
        if if_generation == 0:
            self.chunks = body.chunks(100)
            await anext(self.chunks)
            raise ArtifactExistsError("it exists", path=key)
        return await super().put(key, body, if_generation=if_generation)


class IgnoresThePin(AsyncObjectStoreAdapter):
    async def get(self, key, *, generation=None, **options):
        return await super().get(key, **options)


class ClosesForGood(AsyncObjectStoreAdapter):
    closed = False

    async def get(self, key, **options):
        if self.closed:
            raise StoreError("the session is closed")
        return await super().get(key, **options)

    async def aclose(self):
        self.closed = True


class HasAVerbNobodyCalls(AsyncObjectStoreAdapter):
    def map(self, key):
        return None


BROKEN = [
    (WritesInPlace, "body_that_raises_changes_nothing"),
    (WritesInPlace, "put_in_progress_is_seen_by_nobody"),
    (WritesInPlace, "old_content_is_read_while_its_replacement_is_in_progress"),
    (WritesInPlace, "interrupted_put_leaves_the_old_content"),
    (LeavesDrafts, "body_that_raises_changes_nothing"),
    (LeavesDrafts, "refused_put_leaves_nothing_behind"),
    (LeavesDrafts, "put_many_raises_an_interrupt_and_leaves_whole_objects"),
    (ShowsDrafts, "put_in_progress_is_seen_by_nobody"),
    (WrapsErrorsOfTheBody, "body_that_raises_changes_nothing"),
    (KeepsWhatItIsGiven, "put_of_unknown_size_stores_exactly_the_bytes"),
    (ChecksThenWrites, "one_of_many_creates_wins"),
    (OverwritesAlways, "one_of_many_replacements_wins"),
    (OverwritesAlways, "create_refuses_what_exists"),
    (OverwritesAlways, "replace_of_an_old_generation_conflicts"),
    (CreatesOnly, "put_replaces_a_longer_object_whole"),
    (ReplacesWhatIsGone, "replace_of_what_is_gone_conflicts"),
    (CallsEveryRefusalExisting, "replace_of_an_old_generation_conflicts"),
    (KeepsItsGeneration, "generation_changes_with_the_content"),
    (TellsNoGeneration, "get_of_the_whole_tells_the_generation"),
    (TellsAnotherGeneration, "generation_is_the_same_wherever_it_is_told"),
    (DeletesOnlyWhatIsThere, "delete_of_what_is_missing_is_no_error"),
    (DeletesAlways, "delete_of_an_old_generation_conflicts"),
    (DeletesWhatIsBelow, "delete_spares_objects_above_below_and_beside"),
    (ListsByCharacters, "list_covers_whole_segments"),
    (ListsBelowOnly, "list_covers_whole_segments"),
    (ListsOnePage, "list_of_more_than_a_page"),
    (ListsNamesByEnding, "list_by_name"),
    (FailsWhenListedObjectsGo, "list_goes_on_while_objects_come_and_go"),
    (Normalises, "spellings_of_one_text_are_two_keys"),
    (Folds, "names_that_differ_in_case_are_two_keys"),
    (Decodes, "key_is_taken_byte_for_byte"),
    (RaisesKeyErrors, "get_of_what_is_missing"),
    (RaisesKeyErrors, "head_of_what_is_missing"),
    (RaisesKeyErrors, "only_artifact_errors_escape"),
    (FindsFolders, "head_of_what_is_missing"),
    (TellsTheSizeOfTheRange, "get_of_a_range"),
    (RefusesRangesBeyondTheEnd, "get_of_a_range"),
    (TakesNoLengthForAll, "get_of_a_range"),
    (CopiesOutOfTheView, "get_into_a_view_fills_its_beginning"),
    (MapsForWriting, "map_shows_exactly_the_object"),
    (StopsAtTheFirstFailure, "put_many_answers_in_order"),
    (AnswersInterrupts, "put_many_raises_an_interrupt_and_leaves_whole_objects"),
    (ForgetsPreconditionsOfBatches, "put_many_creates_a_key_once"),
    (TakesNeighboursForItself, "relative_refuses_a_location_outside"),
    (PicklesItsObjects, "pickle_holds_no_objects"),
    (FailsToPickle, "store_pickles_as_its_configuration_or_says_why_not"),
    (HasBytesInItsConfiguration, "config_is_json"),
    (EndsItsUrlInASlash, "url_names_the_place_and_no_secret"),
    (LeavesAProbe, "a_usable_store_validates"),
    (CommitsAfterCancellation, "interrupted_put_leaves_nothing_and_commits_nothing_later"),
    (CommitsAfterCancellation, "interrupted_put_leaves_the_old_content"),
    (CommitsALittleLater, "put_interrupted_at_any_point_is_invisible_or_complete"),
    (KeepsChunks, "put_of_unknown_size_stores_exactly_the_bytes"),
    (LeavesTheBodyOpen, "refused_put_leaves_nothing_behind"),
    (IgnoresThePin, "get_of_a_generation"),
    (ClosesForGood, "store_is_used_again_after_it_was_closed"),
    (HasAVerbNobodyCalls, "map_of_what_is_missing"),
]


def _cases(law) -> list[dict[str, object]]:
    """The arguments of a parametrized test, as pytest would give them."""
    cases: list[dict[str, object]] = [{}]
    for mark in getattr(law, "pytestmark", []):
        names, values = mark.args
        names = (names,) if isinstance(names, str) else names
        rows = [value if len(names) > 1 else (value,) for value in values]
        cases = [{**case, **dict(zip(names, row, strict=True))} for case in cases for row in rows]
    return cases


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (content(8 * MIB)[:-1] + b"\0", f"{8 * MIB} bytes for {8 * MIB}; from byte {8 * MIB - 1} on b'\\x00'"),
        (content(8 * MIB)[1:], f"{8 * MIB - 1} bytes for {8 * MIB}; from byte 0 on"),
        (content(8 * MIB) + b"more", f"{8 * MIB + 4} bytes for {8 * MIB}; from byte {8 * MIB} on b'more' and not b''"),
        (None, "nothing is there"),
    ],
    ids=["last byte", "first lost", "more", "nothing"],
)
def test_difference_of_megabytes_is_told_in_one_line(found, told, monkeypatch):
    monkeypatch.setenv("CI", "true")  # where pytest does not cut its comparisons short
    with pytest.raises((AssertionError, pytest.fail.Exception)) as caught:
        check_bytes(found, content(8 * MIB))
    text = str(caught.value)
    assert told in text
    assert len(text) < 400


@pytest.mark.asyncio
@pytest.mark.parametrize(("broken", "law"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
async def test_broken_store_fails(broken, law):
    suite = DictSuite()
    suite.spill = 20_000
    test = getattr(suite, f"test_{law}")
    failures = []
    for case in _cases(test):
        store = broken(DictObjectStore()) if issubclass(broken, AsyncObjectStore) else broken()
        try:
            await test(store, **case)
        except (Exception, pytest.fail.Exception) as failure:
            failures.append(failure)
    assert failures


@pytest.mark.asyncio
@pytest.mark.parametrize("law", sorted({law for _, law in BROKEN}))
async def test_sound_store_passes_where_a_broken_one_fails(law):
    suite = DictSuite()
    suite.spill = 20_000
    test = getattr(suite, f"test_{law}")
    for case in _cases(test):
        await test(DictObjectStore(), **case)


def test_every_law_is_a_coroutine_function():
    laws = [getattr(DictSuite, name) for name in dir(DictSuite) if name.startswith("test_")]
    assert len(laws) > 80
    assert all(inspect.iscoroutinefunction(law) for law in laws)


@pytest.mark.asyncio
async def test_medium_that_folds_case_passes_when_it_refuses_the_second_name():
    class Refuses(DictObjectStore):
        def put(self, key, body, **options):
            if any(k.lower() == key.lower() and k != key for k in self.objects):
                raise StoreError("the name is taken in another case", path=key)
            return super().put(key, body, **options)

    suite = DictSuite()
    suite.rejects_colliding_case = True
    await suite.test_names_that_differ_in_case_are_two_keys(Refuses())
    with pytest.raises(AssertionError):
        await suite.test_names_that_differ_in_case_are_two_keys(DictObjectStore())


def test_suite_without_accessors_is_collected():
    assert not inspect.isabstract(StoreUnderTest), "pytest would leave it out without a word"


@pytest.mark.parametrize("method", ["raw_get", "raw_put", "raw_keys"])
def test_suite_names_the_accessor_it_lacks(method):
    given = {"raw_get": ("key",), "raw_put": ("key", b""), "raw_keys": ()}
    with pytest.raises(pytest.UsageError, match=rf"StoreUnderTest must define {method}\(\): raw_get, raw_put and raw_keys"):
        getattr(StoreUnderTest(), method)(None, *given[method])

"""Stores that hand every verb on to another store, with a hook before and after: what the stores in `stores` are made of.

Every method of the contract is written out here, defaults too: one that is missing would get round the hooks.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

from aioartifacts.objects.base import (
    AsyncBody,
    AsyncObjectStore,
    BlockingObjectStore,
    Body,
    ObjectData,
    ObjectStore,
    PutRequest,
)
from aioartifacts.types import JSON, Generation, ObjectInfo

T = TypeVar("T")
S = TypeVar("S", bound=ObjectStore)
Details: TypeAlias = Mapping[str, object]


class InFront(ObjectStore, Generic[S]):
    """A store in front of another, *inner*, with its names."""

    def __init__(self, inner: S) -> None:
        self.inner = inner
        self.url = inner.url

    def location(self, path: str) -> str:
        return self.inner.location(path)

    def relative(self, location: str) -> str | None:
        return self.inner.relative(location)

    def config(self) -> Mapping[str, JSON]:
        return self.inner.config()

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.inner,))


class Forwarding(InFront[S]):
    """What both kinds share: the hooks, which do nothing."""

    def before(self, verb: str, key: str, details: Details) -> None:
        """Called before a verb reaches the other store; what it raises is the verb's error."""

    def after(self, verb: str, key: str, answer: T) -> T:
        """Called with the other store's answer; gives the answer to return, or raises instead."""
        return answer


class BlockingForwarding(Forwarding[BlockingObjectStore], BlockingObjectStore):
    """A blocking store in front of another."""

    def __init__(self, inner: BlockingObjectStore) -> None:
        super().__init__(inner)
        self.trusted_by_default = inner.trusted_by_default

    def put(self, key: str, body: Body, *, if_generation: Generation | None = None) -> ObjectInfo:
        self.before("put", key, {"if_generation": if_generation, "size": body.size})
        return self.after("put", key, self.inner.put(key, body, if_generation=if_generation))

    def put_many(self, puts: Sequence[PutRequest]) -> builtins.list[ObjectInfo | BaseException]:
        """Hand on as one batch, with the hooks for the batch and, as ``put``, for each object in it."""
        self.before("put_many", "", {"keys": tuple(put.key for put in puts)})
        answers: dict[int, ObjectInfo | BaseException] = {}
        passed: builtins.list[int] = []
        for i, put in enumerate(puts):
            try:
                self.before("put", put.key, {"if_generation": put.if_generation, "size": put.body.size})
                passed.append(i)
            except Exception as error:  # here and below: an answer, as the law of `put_many` has it
                answers[i] = error
        for i, answer in zip(passed, self.inner.put_many([puts[i] for i in passed]), strict=True):
            try:
                answers[i] = answer if isinstance(answer, BaseException) else self.after("put", puts[i].key, answer)
            except Exception as error:
                answers[i] = error
        return self.after("put_many", "", [answers[i] for i in range(len(puts))])

    def get(self, key: str, *, start: int = 0, length: int | None = None, into: memoryview | None = None) -> ObjectData:
        self.before("get", key, {"start": start, "length": length, "into": into is not None})
        return self.after("get", key, self.inner.get(key, start=start, length=length, into=into))

    def head(self, key: str) -> ObjectInfo:
        self.before("head", key, {})
        return self.after("head", key, self.inner.head(key))

    def delete(self, key: str, *, if_generation: Generation | None = None) -> None:
        self.before("delete", key, {"if_generation": if_generation})
        self.inner.delete(key, if_generation=if_generation)
        self.after("delete", key, None)

    def list(self, prefix: str = "", *, name: str | None = None) -> Iterator[ObjectInfo]:
        self.before("list", prefix, {"name": name})
        yield from self.inner.list(prefix, name=name)
        self.after("list", prefix, None)

    def map(self, key: str) -> memoryview | None:
        self.before("map", key, {})
        return self.after("map", key, self.inner.map(key))

    def file(self, key: str) -> str | None:
        self.before("file", key, {})
        return self.after("file", key, self.inner.file(key))

    def sweep_drafts(self, before: float, *, dry_run: bool) -> builtins.list[ObjectInfo]:
        self.before("sweep_drafts", "", {"before": before, "dry_run": dry_run})
        return self.after("sweep_drafts", "", self.inner.sweep_drafts(before, dry_run=dry_run))

    def validate(self) -> None:
        self.before("validate", "", {})
        self.inner.validate()
        self.after("validate", "", None)

    def doubt(self) -> str | None:
        self.before("doubt", "", {})
        return self.after("doubt", "", self.inner.doubt())


class AsyncForwarding(Forwarding[AsyncObjectStore], AsyncObjectStore):
    """An async store in front of another."""

    async def put(self, key: str, body: AsyncBody, *, if_generation: Generation | None = None) -> ObjectInfo:
        await self.abefore("put", key, {"if_generation": if_generation, "size": body.size})
        return await self.aafter("put", key, await self.inner.put(key, body, if_generation=if_generation))

    async def get(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        into: memoryview | None = None,
        generation: Generation | None = None,
    ) -> ObjectData:
        details = {"start": start, "length": length, "into": into is not None, "generation": generation}
        await self.abefore("get", key, details)
        data = await self.inner.get(key, start=start, length=length, into=into, generation=generation)
        return await self.aafter("get", key, data)

    async def head(self, key: str) -> ObjectInfo:
        await self.abefore("head", key, {})
        return await self.aafter("head", key, await self.inner.head(key))

    async def delete(self, key: str, *, if_generation: Generation | None = None) -> None:
        await self.abefore("delete", key, {"if_generation": if_generation})
        await self.inner.delete(key, if_generation=if_generation)
        await self.aafter("delete", key, None)

    async def list(self, prefix: str = "", *, name: str | None = None) -> AsyncIterator[ObjectInfo]:
        await self.abefore("list", prefix, {"name": name})
        infos = self.inner.list(prefix, name=name)
        try:
            async for info in infos:
                yield info
        finally:
            if (aclose := getattr(infos, "aclose", None)) is not None:
                await aclose()
        await self.aafter("list", prefix, None)

    async def validate(self) -> None:
        await self.abefore("validate", "", {})
        await self.inner.validate()
        await self.aafter("validate", "", None)

    async def aclose(self) -> None:
        await self.abefore("aclose", "", {})
        await self.inner.aclose()
        await self.aafter("aclose", "", None)

    async def abefore(self, verb: str, key: str, details: Details) -> None:
        """Called as `before`; may wait."""
        self.before(verb, key, details)

    async def aafter(self, verb: str, key: str, answer: T) -> T:
        """Called as `after`; may wait."""
        return self.after(verb, key, answer)

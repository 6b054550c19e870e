"""Clients that others wrote, behind one blocking interface, so that one table of tests holds for all of them."""

from __future__ import annotations

import asyncio
import io
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

BUCKET = "test-bucket"


class Missing(Exception):
    """There is no such object."""


class Refused(Exception):
    """A precondition did not hold."""


@dataclass(frozen=True)
class Stat:
    size: int
    content_type: str | None = None
    metadata: dict[str, str] | None = None
    generation: str | None = None
    crc32c: str | None = None


class Peer(ABC):
    """What every client can do."""

    @abstractmethod
    def put(self, name: str, data: bytes) -> None: ...

    @abstractmethod
    def put_chunked(self, name: str, data: bytes) -> None:
        """Upload in several requests."""

    @abstractmethod
    def put_described(self, name: str, data: bytes, content_type: str, metadata: dict[str, str]) -> None: ...

    @abstractmethod
    def create(self, name: str, data: bytes) -> None: ...

    @abstractmethod
    def get(self, name: str) -> bytes: ...

    @abstractmethod
    def get_range(self, name: str, start: int, stop: int) -> bytes: ...

    @abstractmethod
    def stat(self, name: str) -> Stat: ...

    @abstractmethod
    def delete(self, name: str) -> None: ...

    @abstractmethod
    def copy(self, source: str, target: str) -> None: ...

    @abstractmethod
    def names(self, prefix: str = "") -> list[str]:
        """All names, over as many pages as it takes."""

    @abstractmethod
    def folder(self, prefix: str) -> tuple[list[str], list[str]]:
        """Names and prefixes directly under *prefix*."""

    @abstractmethod
    def close(self) -> None: ...


class GooglePeer(Peer):
    def __init__(self, url: str) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        self.client = storage.Client(
            project="example", credentials=AnonymousCredentials(), client_options={"api_endpoint": url}
        )
        self.bucket = self.client.bucket(BUCKET)

    def put(self, name: str, data: bytes) -> None:
        self.bucket.blob(name).upload_from_string(data, checksum="crc32c")

    def put_chunked(self, name: str, data: bytes) -> None:
        blob = self.bucket.blob(name, chunk_size=256 * 1024)
        blob.upload_from_file(io.BytesIO(data), checksum="crc32c")  # a known size up to 8 MiB would be one request

    def put_described(self, name: str, data: bytes, content_type: str, metadata: dict[str, str]) -> None:
        blob = self.bucket.blob(name)
        blob.metadata = metadata
        blob.upload_from_string(data, content_type=content_type)

    def create(self, name: str, data: bytes) -> None:
        self.conditional_put(name, data, 0)

    def conditional_put(self, name: str, data: bytes, generation: int) -> None:
        from google.api_core.exceptions import PreconditionFailed

        try:
            self.bucket.blob(name).upload_from_string(data, if_generation_match=generation)
        except PreconditionFailed as error:
            raise Refused from error

    def conditional_delete(self, name: str, generation: int) -> None:
        from google.api_core.exceptions import PreconditionFailed

        try:
            self.bucket.blob(name).delete(if_generation_match=generation)
        except PreconditionFailed as error:
            raise Refused from error

    def get(self, name: str) -> bytes:
        return self._get(name)

    def get_range(self, name: str, start: int, stop: int) -> bytes:
        return self._get(name, start=start, end=stop - 1)

    def _get(self, name: str, **options: int) -> bytes:
        from google.api_core.exceptions import NotFound

        try:
            data: bytes = self.bucket.blob(name).download_as_bytes(checksum="crc32c", **options)
        except NotFound as error:
            raise Missing from error
        return data

    def stat(self, name: str) -> Stat:
        blob = self.bucket.get_blob(name)
        if blob is None:
            raise Missing
        return Stat(blob.size, blob.content_type, blob.metadata, str(blob.generation), blob.crc32c)

    def delete(self, name: str) -> None:
        from google.api_core.exceptions import NotFound

        try:
            self.bucket.blob(name).delete()
        except NotFound as error:
            raise Missing from error

    def copy(self, source: str, target: str) -> None:
        token, _, _ = self.bucket.blob(target).rewrite(self.bucket.blob(source))
        assert token is None

    def compose(self, sources: list[str], target: str) -> None:
        self.bucket.blob(target).compose([self.bucket.blob(name) for name in sources])

    def names(self, prefix: str = "") -> list[str]:
        return [blob.name for blob in self.bucket.list_blobs(prefix=prefix, page_size=7)]

    def folder(self, prefix: str) -> tuple[list[str], list[str]]:
        found = self.bucket.list_blobs(prefix=prefix, delimiter="/", page_size=3)
        names = [blob.name for blob in found]
        return names, sorted(found.prefixes)

    def close(self) -> None:
        self.client.close()


class GcsfsPeer(Peer):
    def __init__(self, url: str) -> None:
        # Not gcsfs.GCSFileSystem, which asks for the bucket's type over gRPC and TLS first.
        from gcsfs.core import GCSFileSystem

        self.fs = GCSFileSystem(
            token="anon", project="example", endpoint_url=url, cache_timeout=0, skip_instance_cache=True
        )
        self.fs.default_block_size = 2**18

    def put(self, name: str, data: bytes) -> None:
        self.fs.pipe_file(f"{BUCKET}/{name}", data, consistency="md5")

    def put_chunked(self, name: str, data: bytes) -> None:
        with self.fs.open(f"{BUCKET}/{name}", "wb", block_size=2**18, consistency="md5") as file:
            file.write(data)

    def put_described(self, name: str, data: bytes, content_type: str, metadata: dict[str, str]) -> None:
        self.fs.pipe_file(f"{BUCKET}/{name}", data, content_type=content_type, metadata=metadata)

    def create(self, name: str, data: bytes) -> None:
        try:
            self.fs.pipe_file(f"{BUCKET}/{name}", data, mode="create")
        except FileExistsError as error:
            raise Refused from error

    def get(self, name: str) -> bytes:
        return self._get(name)

    def get_range(self, name: str, start: int, stop: int) -> bytes:
        return self._get(name, start=start, end=stop)

    def _get(self, name: str, **options: int) -> bytes:
        try:
            data: bytes = self.fs.cat_file(f"{BUCKET}/{name}", **options)
        except FileNotFoundError as error:
            raise Missing from error
        return data

    def stat(self, name: str) -> Stat:
        try:
            info: dict[str, Any] = self.fs.info(f"{BUCKET}/{name}")
        except FileNotFoundError as error:
            raise Missing from error
        return Stat(info["size"], info.get("contentType"), info.get("metadata"), info["generation"], info["crc32c"])

    def delete(self, name: str) -> None:
        try:
            self.fs.rm_file(f"{BUCKET}/{name}")
        except FileNotFoundError as error:
            raise Missing from error

    def copy(self, source: str, target: str) -> None:
        self.fs.cp_file(f"{BUCKET}/{source}", f"{BUCKET}/{target}")

    def compose(self, sources: list[str], target: str) -> None:
        self.fs.merge(f"{BUCKET}/{target}", [f"{BUCKET}/{name}" for name in sources])

    def names(self, prefix: str = "") -> list[str]:
        found = self.fs.find(BUCKET, prefix=prefix)
        return sorted(name.removeprefix(f"{BUCKET}/") for name in found)

    def folder(self, prefix: str) -> tuple[list[str], list[str]]:
        entries = self.fs.ls(f"{BUCKET}/{prefix}", detail=True)
        names = {kind: sorted(e["name"].removeprefix(f"{BUCKET}/") for e in entries if e["type"] == kind)
                 for kind in ("file", "directory")}  # fmt: skip
        return names["file"], [f"{name}/" for name in names["directory"]]

    def close(self) -> None:
        import fsspec.asyn

        if self.fs.session is not None:
            fsspec.asyn.sync(self.fs.loop, self.fs.session.close)


class ObstorePeer(Peer):
    def __init__(self, url: str) -> None:
        from obstore.store import GCSStore

        key = {"gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
        self.store = GCSStore(
            BUCKET, config={"service_account_key": json.dumps(key)}, client_options={"allow_http": True}
        )

    def put(self, name: str, data: bytes) -> None:
        import obstore

        obstore.put(self.store, name, data)

    def put_chunked(self, name: str, data: bytes) -> None:
        import obstore

        obstore.put(self.store, name, data, use_multipart=True, chunk_size=5 * 1024 * 1024)

    def put_described(self, name: str, data: bytes, content_type: str, metadata: dict[str, str]) -> None:
        import obstore

        obstore.put(self.store, name, data, attributes={"Content-Type": content_type, **metadata})

    def create(self, name: str, data: bytes) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            obstore.put(self.store, name, data, mode="create")
        except AlreadyExistsError as error:
            raise Refused from error

    def conditional_put(self, name: str, data: bytes, generation: int) -> None:
        import obstore
        from obstore.exceptions import PreconditionError

        try:
            obstore.put(self.store, name, data, mode={"version": str(generation)})
        except PreconditionError as error:
            raise Refused from error

    def get(self, name: str) -> bytes:
        import obstore

        try:
            return bytes(obstore.get(self.store, name).bytes())
        except FileNotFoundError as error:
            raise Missing from error

    def get_range(self, name: str, start: int, stop: int) -> bytes:
        import obstore

        return bytes(obstore.get_range(self.store, name, start=start, end=stop))

    def stat(self, name: str) -> Stat:
        import obstore

        try:
            found = obstore.get(self.store, name, options={"head": True})
        except FileNotFoundError as error:
            raise Missing from error
        attributes = dict(found.attributes)
        content_type = attributes.pop("Content-Type", None)
        return Stat(found.meta["size"], content_type, attributes, found.meta["version"])

    def delete(self, name: str) -> None:
        import obstore

        try:
            obstore.delete(self.store, name)
        except FileNotFoundError as error:
            raise Missing from error

    def copy(self, source: str, target: str) -> None:
        import obstore

        obstore.copy(self.store, source, target)

    def names(self, prefix: str = "") -> list[str]:
        import obstore

        return [item["path"] for item in obstore.list(self.store, prefix or None).collect()]

    def folder(self, prefix: str) -> tuple[list[str], list[str]]:
        import obstore

        found = obstore.list_with_delimiter(self.store, prefix)
        return [item["path"] for item in found["objects"]], [f"{name}/" for name in found["common_prefixes"]]

    def close(self) -> None:
        del self.store


class GcloudAioPeer(Peer):
    """gcloud-aio-storage, with the calls that it lacks made through its own session."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        self.runner.run(self._open(url))

    async def _open(self, url: str) -> None:
        from gcloud.aio.storage import Storage

        self.storage = Storage(api_root=url)

    def put(self, name: str, data: bytes) -> None:
        self.runner.run(self.storage.upload(BUCKET, name, data))

    def put_chunked(self, name: str, data: bytes) -> None:
        self.runner.run(self.storage.upload(BUCKET, name, data, force_resumable_upload=True))

    def put_described(self, name: str, data: bytes, content_type: str, metadata: dict[str, str]) -> None:
        described = {"metadata": metadata}
        self.runner.run(self.storage.upload(BUCKET, name, data, content_type=content_type, metadata=described))

    def create(self, name: str, data: bytes) -> None:
        self.conditional_put(name, data, 0)

    def conditional_put(self, name: str, data: bytes, generation: int) -> None:
        from aiohttp import ClientResponseError

        parameters = {"ifGenerationMatch": str(generation)}
        try:
            self.runner.run(self.storage.upload(BUCKET, name, data, parameters=parameters, force_resumable_upload=False))
        except ClientResponseError as error:
            if error.status == 412:
                raise Refused from error
            raise

    def conditional_delete(self, name: str, generation: int) -> None:
        from aiohttp import ClientResponseError

        try:
            self.runner.run(self.storage.delete(BUCKET, name, params={"ifGenerationMatch": str(generation)}))
        except ClientResponseError as error:
            if error.status == 412:
                raise Refused from error
            raise

    def _wanted(self, coroutine: Any) -> Any:
        from aiohttp import ClientResponseError

        try:
            return self.runner.run(coroutine)
        except ClientResponseError as error:
            if error.status == 404:
                raise Missing from error
            raise

    def get(self, name: str) -> bytes:
        data: bytes = self._wanted(self.storage.download(BUCKET, name))
        return data

    def get_range(self, name: str, start: int, stop: int) -> bytes:
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        data: bytes = self._wanted(self.storage.download(BUCKET, name, headers=headers))
        return data

    def stat(self, name: str) -> Stat:
        found = self._wanted(self.storage.download_metadata(BUCKET, name))
        size, metadata = int(found["size"]), found.get("metadata")
        return Stat(size, found.get("contentType"), metadata, found["generation"], found["crc32c"])

    def delete(self, name: str) -> None:
        self._wanted(self.storage.delete(BUCKET, name))

    def copy(self, source: str, target: str) -> None:
        self.runner.run(self.storage.copy(BUCKET, source, BUCKET, new_name=target))

    def compose(self, sources: list[str], target: str) -> None:
        self.runner.run(self.storage.compose(BUCKET, target, sources))

    def names(self, prefix: str = "") -> list[str]:
        names, token = [], ""
        while True:
            page = self._page(prefix=prefix, pageToken=token, maxResults="7")
            names += [item["name"] for item in page.get("items", [])]
            token = page.get("nextPageToken", "")
            if not token:
                return names

    def folder(self, prefix: str) -> tuple[list[str], list[str]]:
        page = self._page(prefix=prefix, delimiter="/")
        return [item["name"] for item in page.get("items", [])], page.get("prefixes", [])

    def _page(self, **params: str) -> dict[str, Any]:
        page: dict[str, Any] = self.runner.run(self.storage.list_objects(BUCKET, params=params))
        return page

    def close(self) -> None:
        self.runner.run(self.storage.close())
        self.runner.close()


PEERS: dict[str, type[Peer]] = {
    "google-cloud-storage": GooglePeer,
    "gcsfs": GcsfsPeer,
    "obstore": ObstorePeer,
    "gcloud-aio-storage": GcloudAioPeer,
}

"""The XML API: the part of it that S3-style clients use."""

from __future__ import annotations

import base64
import re
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from urllib.parse import quote
from xml.sax.saxutils import escape

from .exchange import Exchange
from .json_api import copy_object
from .listing import MAX_RESULTS, Listing, list_names
from .names import check_object_name
from .rope import Rope
from .state import (
    MIN_PART,
    Description,
    Multipart,
    Preconditions,
    State,
    StoredObject,
    checked_metadata,
    timestamp,
)
from .wire import Answer, ApiError, Headers, decode_name, parse_number

_NAMESPACE = "http://doc.s3.amazonaws.com/2006-03-01"
_UPLOADS_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
"""Of the answers about multipart uploads; Google's own client reads no other."""
_FIXED = {
    "contentEncoding": "Content-Encoding",
    "contentDisposition": "Content-Disposition",
    "contentLanguage": "Content-Language",
    "cacheControl": "Cache-Control",
    "customTime": "x-goog-custom-time",
}


class XmlApi:
    """Answers requests to ``/<bucket>`` and ``/<bucket>/<object>``, except reads. Every method raises ApiError."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def handle(self, exchange: Exchange, bucket: str, name: str) -> Answer:
        query = exchange.query
        self._state.bucket(bucket)
        if not name:
            await exchange.read()
            return self._bucket(exchange, bucket, query)
        if "uploads" in query and exchange.method == "POST":
            await exchange.read()
            await exchange.commit()
            return self._initiate(exchange, bucket, name)
        if "uploadId" in query:
            return await self._multipart(exchange, bucket, name, query)
        conditions = Preconditions.from_headers(exchange.headers)
        if exchange.method == "PUT":
            return await self._put(exchange, bucket, name, conditions)
        if exchange.method == "DELETE":
            await exchange.read()
            await exchange.commit()
            self._state.delete(bucket, name, parse_number("generation", query.get("generation")), conditions)
            return Answer(204)
        raise ApiError(405, "The specified method is not allowed against this resource.")

    async def _put(self, exchange: Exchange, bucket: str, name: str, conditions: Preconditions) -> Answer:
        content = self._state.rope()
        async for chunk in exchange.chunks():
            content.append(chunk)
        await exchange.commit()
        source = exchange.headers.get("x-goog-copy-source")
        if source is not None:
            found = self._copy_source(source, exchange.headers)
            stored = copy_object(self._state, found, bucket, name, {}, conditions)
            result = f"<ETag>{escape(stored.xml_etag)}</ETag><LastModified>{timestamp(stored.updated)}</LastModified>"
            return Answer.xml(f"<CopyObjectResult>{result}</CopyObjectResult>", headers=_result_headers(stored))
        stored = self._state.commit(bucket, name, content, _describe(exchange.headers), conditions)
        return Answer(200, _result_headers(stored))

    def _copy_source(self, source: str, headers: Mapping[str, str]) -> StoredObject:
        bucket, _, name = source.removeprefix("/").partition("/")
        keys = ("x-goog-copy-source-generation", "x-goog-copy-source-if-generation-match")
        generation, match = (parse_number(key, headers.get(key)) for key in keys)
        return self._state.get(decode_name(bucket), decode_name(name), generation, Preconditions(generation=match))

    def _bucket(self, exchange: Exchange, name: str, query: dict[str, str]) -> Answer:
        bucket = self._state.bucket(name)
        if exchange.method == "HEAD":
            return Answer(200)
        if exchange.method != "GET":
            raise ApiError(405, "The specified method is not allowed against this resource.")
        if "uploads" in query:
            return self._list_multiparts(name, query)
        encode = quote if query.get("encoding-type") == "url" else escape
        limit = parse_number("max-keys", query.get("max-keys"))
        page = list_names(
            bucket.names,
            Listing(
                prefix=query.get("prefix", ""),
                delimiter=query.get("delimiter", ""),
                after=query.get("start-after", query.get("marker", "")),
                token=query.get("continuation-token", ""),
                limit=MAX_RESULTS if limit is None else limit,
            ),
        )
        out = [f'<ListBucketResult xmlns="{_NAMESPACE}"><Name>{name}</Name>']
        out.append(f"<Prefix>{encode(query.get('prefix', ''))}</Prefix>")
        out.append(f"<KeyCount>{len(page.names) + len(page.prefixes)}</KeyCount>")
        out.append(f"<IsTruncated>{'true' if page.next_token else 'false'}</IsTruncated>")
        if page.next_token:
            out.append(f"<NextContinuationToken>{page.next_token}</NextContinuationToken>")
        for key in page.names:
            stored = bucket.objects[key]
            out.append(
                f"<Contents><Key>{encode(key)}</Key><Generation>{stored.generation}</Generation>"
                f"<MetaGeneration>{stored.metageneration}</MetaGeneration>"
                f"<LastModified>{timestamp(stored.updated)}</LastModified>"
                f"<ETag>{escape(stored.xml_etag)}</ETag><Size>{stored.size}</Size>"
                f"<StorageClass>{stored.storage_class}</StorageClass></Contents>"
            )
        out += [f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>" for prefix in page.prefixes]
        return Answer.xml("".join(out) + "</ListBucketResult>")

    def _initiate(self, exchange: Exchange, bucket: str, name: str) -> Answer:
        check_object_name(name)
        upload = Multipart(secrets.token_urlsafe(24), bucket, name, _describe(exchange.headers))
        self._state.multiparts[upload.id] = upload
        return Answer.xml(
            f'<InitiateMultipartUploadResult xmlns="{_UPLOADS_NAMESPACE}"><Bucket>{bucket}</Bucket><Key>{escape(name)}</Key>'
            f"<UploadId>{upload.id}</UploadId></InitiateMultipartUploadResult>"
        )

    async def _multipart(self, exchange: Exchange, bucket: str, name: str, query: dict[str, str]) -> Answer:
        upload = self._state.multiparts.get(query["uploadId"])
        if upload is None or (upload.bucket, upload.name) != (bucket, name):
            raise ApiError(404, "The requested upload was not found.", code="NoSuchUpload")
        if exchange.method == "PUT":
            return await self._part(exchange, upload, query)
        body = await exchange.read()
        await exchange.commit()
        if exchange.method == "POST":
            return self._complete(upload, body, Preconditions.from_headers(exchange.headers))
        if exchange.method == "DELETE":
            self._state.multiparts.pop(upload.id, None)
            return Answer(204)
        if exchange.method == "GET":
            return _list_parts(upload)
        raise ApiError(405, "The specified method is not allowed against this resource.")

    async def _part(self, exchange: Exchange, upload: Multipart, query: dict[str, str]) -> Answer:
        number = parse_number("partNumber", query.get("partNumber"))
        if number is None or not 1 <= number <= 10000:
            raise ApiError(400, "Part number must be an integer between 1 and 10000, inclusive.")
        content = self._state.rope()
        async for chunk in exchange.chunks():
            content.append(chunk)
        Description().with_hash_header(exchange.headers.get("x-goog-hash")).check_digests(content)
        await exchange.commit()
        etag = f'"{content.md5.hex() if content.md5 is not None else secrets.token_hex(16)}"'
        upload.parts[number] = (etag, content)
        digest = base64.b64encode(content.crc32c.to_bytes(4, "big")).decode()
        return Answer(200, [("ETag", etag), ("x-goog-hash", f"crc32c={digest}")])

    def _complete(self, upload: Multipart, body: bytes, conditions: Preconditions) -> Answer:
        listed = _listed_parts(body)
        if [number for number, _ in listed] != sorted({number for number, _ in listed}):
            raise ApiError(400, "The list of parts was not in ascending order.", code="InvalidPartOrder")
        contents: list[Rope] = []
        for number, etag in listed:
            known, content = upload.parts.get(number, ("", None))
            if content is None or known.strip('"') != etag.strip('"'):
                raise ApiError(400, "One or more of the specified parts could not be found.", code="InvalidPart")
            contents.append(content)
        if any(content.size < MIN_PART for content in contents[:-1]):
            message = "Your proposed upload is smaller than the minimum allowed object size."
            raise ApiError(400, message, code="EntityTooSmall")
        content = Rope.join(contents)
        description = upload.description
        stored = self._state.commit(
            upload.bucket, upload.name, content, description, conditions, components=len(contents)
        )
        self._state.multiparts.pop(upload.id, None)
        return Answer.xml(
            f'<CompleteMultipartUploadResult xmlns="{_UPLOADS_NAMESPACE}"><Bucket>{upload.bucket}</Bucket>'
            f"<Key>{escape(upload.name)}</Key><ETag>{escape(stored.xml_etag)}</ETag></CompleteMultipartUploadResult>",
            headers=_result_headers(stored),
        )

    def _list_multiparts(self, bucket: str, query: dict[str, str]) -> Answer:
        prefix = query.get("prefix", "")
        uploads = [item for item in self._state.multiparts.values() if item.bucket == bucket]
        listed = "".join(
            f"<Upload><Key>{escape(item.name)}</Key><UploadId>{item.id}</UploadId></Upload>"
            for item in sorted(uploads, key=lambda item: (item.name, item.id))
            if item.name.startswith(prefix)
        )
        return Answer.xml(
            f'<ListMultipartUploadsResult xmlns="{_UPLOADS_NAMESPACE}"><Bucket>{bucket}</Bucket>'
            f"<IsTruncated>false</IsTruncated>{listed}</ListMultipartUploadsResult>"
        )


def _result_headers(stored: StoredObject) -> Headers:
    return [
        ("ETag", stored.xml_etag),
        ("x-goog-generation", str(stored.generation)),
        ("x-goog-metageneration", str(stored.metageneration)),
        ("x-goog-hash", stored.hash_header),
        ("x-goog-stored-content-length", str(stored.size)),
    ]


def _describe(headers: Mapping[str, str]) -> Description:
    prefix = "x-goog-meta-"
    metadata = {key.lower().removeprefix(prefix): headers[key] for key in headers if key.lower().startswith(prefix)}
    return Description(
        content_type=headers.get("Content-Type", "application/octet-stream"),
        storage_class=headers.get("x-goog-storage-class", "STANDARD"),
        metadata=checked_metadata(metadata),
        simple={key: headers[header] for key, header in _FIXED.items() if header in headers},
        md5=headers.get("Content-MD5"),
    ).with_hash_header(headers.get("x-goog-hash"))


def _list_parts(upload: Multipart) -> Answer:
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag><Size>{content.size}</Size></Part>"
        for number, (etag, content) in sorted(upload.parts.items())
    )
    return Answer.xml(
        f'<ListPartsResult xmlns="{_UPLOADS_NAMESPACE}"><Bucket>{upload.bucket}</Bucket><Key>{escape(upload.name)}</Key>'
        f"<UploadId>{upload.id}</UploadId><IsTruncated>false</IsTruncated>{parts}</ListPartsResult>"
    )


def _listed_parts(body: bytes) -> list[tuple[int, str]]:
    malformed = ApiError(400, "The XML you provided was not well-formed.", code="MalformedCompleteMultipartUpload")
    if re.search(rb"<!DOCTYPE", body, re.IGNORECASE):
        raise malformed
    try:
        root = ET.fromstring(body)  # noqa: S314 - a document type, the one danger, was refused above
    except ET.ParseError as error:
        raise malformed from error
    listed: list[tuple[int, str]] = []
    for part in root.iter():
        if part.tag.rpartition("}")[2] != "Part":
            continue
        values = {item.tag.rpartition("}")[2]: (item.text or "").strip() for item in part}
        if not values.get("PartNumber", "").isdecimal() or "ETag" not in values:
            raise malformed
        listed.append((int(values["PartNumber"]), values["ETag"]))
    if not listed:
        raise malformed
    return listed

"""The JSON API, as far as the request body is small: buckets, objects' metadata, lists, copies, composition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .listing import MAX_RESULTS, Listing, list_names
from .rope import Rope
from .selection import select
from .state import MAX_COMPONENTS, Bucket, Description, Preconditions, State, StoredObject, timestamp
from .wire import Answer, ApiError, Call, decode_name, no_such_object, no_such_route, parse_number

_REWRITE_STEP = 1024 * 1024


class JsonApi:
    """Answers calls whose path, after ``/storage/v1/``, is given as raw segments."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._rewrites: dict[str, int] = {}

    def handle(self, call: Call) -> Answer:
        """Raises ApiError."""
        value = self._route(call)
        if value is None:
            return Answer(204)
        fields = call.query.get("fields")
        return Answer.json(select(value, fields) if fields else value)

    def _route(self, call: Call) -> object:
        match call.method, call.segments:
            case "GET", ["b"]:
                items = [self._bucket_resource(bucket) for _, bucket in sorted(self._state.buckets.items())]
                wanted = call.query.get("prefix", "")
                return {"kind": "storage#buckets", "items": [item for item in items if item["name"].startswith(wanted)]}
            case "POST", ["b"]:
                name = call.json().get("name")
                if not isinstance(name, str):
                    raise ApiError(400, "Required parameter: name", reason="required")
                return self._bucket_resource(self._state.create_bucket(name))
            case _, ["b", bucket]:
                return self._bucket(call, decode_name(bucket))
            case "GET", ["b", bucket, "o"]:
                return self._list(call, decode_name(bucket))
            case "GET", ["b", bucket, "storageLayout"]:
                return {
                    "kind": "storage#storageLayout",
                    "bucket": self._state.bucket(decode_name(bucket)).name,
                    "location": "US",
                    "locationType": "multi-region",
                    "hierarchicalNamespace": {"enabled": False},
                }
            case "GET", ["b", bucket, "iam", "testPermissions"]:
                self._state.bucket(decode_name(bucket))
                asked = call.query.get("permissions")
                return {"kind": "storage#testIamPermissionsResponse", "permissions": [asked] if asked else []}
            case method, ["b", bucket, "o", name] if method in _OBJECT_VERBS:
                return _OBJECT_VERBS[method](self, call, decode_name(bucket), decode_name(name))
            case "POST", ["b", bucket, "o", name, "compose"]:
                return self._compose(call, decode_name(bucket), decode_name(name))
            case "POST", ["b", bucket, "o", name, "rewriteTo" | "copyTo" as verb, "b", to_bucket, "o", to_name]:
                source = self._source(call, decode_name(bucket), decode_name(name))
                copy = self._rewrite if verb == "rewriteTo" else self._copy
                return copy(call, source, decode_name(to_bucket), decode_name(to_name))
            case "POST", ["b", bucket, "o", name, "moveTo", "o", to_name]:
                source = self._source(call, decode_name(bucket), decode_name(name))
                moved = self._copy(call, source, decode_name(bucket), decode_name(to_name))
                if decode_name(to_name) != source.name:
                    self._state.buckets[source.bucket].remove(source.name)
                return moved
        raise no_such_route("/".join(call.segments))

    def _bucket(self, call: Call, name: str) -> object:
        bucket = self._state.bucket(name)
        if call.method == "DELETE":
            self._state.delete_bucket(name)
            return None
        if call.method not in ("GET", "PATCH", "PUT"):
            raise ApiError(405, "Method Not Allowed", reason="methodNotAllowed")
        return self._bucket_resource(bucket)

    def _bucket_resource(self, bucket: Bucket) -> dict[str, Any]:
        created = timestamp(bucket.created)
        return {
            "kind": "storage#bucket",
            "id": bucket.name,
            "name": bucket.name,
            "selfLink": f"{self._state.base_url}/storage/v1/b/{bucket.name}",
            "projectNumber": "1",
            "generation": str(bucket.created),
            "metageneration": "1",
            "location": "US",
            "locationType": "multi-region",
            "storageClass": "STANDARD",
            "etag": "CAE=",
            "timeCreated": created,
            "updated": created,
            "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
        }

    def _list(self, call: Call, name: str) -> object:
        bucket = self._state.bucket(name)
        query = call.query
        limit = call.number("maxResults")
        if limit is not None and limit < 0:
            raise ApiError(400, "Invalid value for maxResults", reason="invalidParameter")
        page = list_names(
            bucket.names,
            Listing(
                prefix=query.get("prefix", ""),
                delimiter=query.get("delimiter", ""),
                start=query.get("startOffset", ""),
                end=query.get("endOffset", ""),
                token=query.get("pageToken", ""),
                limit=limit or MAX_RESULTS,
                include_trailing_delimiter=query.get("includeTrailingDelimiter", "").lower() == "true",
                match_glob=query.get("matchGlob", ""),
            ),
        )
        value: dict[str, Any] = {"kind": "storage#objects"}
        if page.next_token:
            value["nextPageToken"] = page.next_token
        if page.prefixes:
            value["prefixes"] = page.prefixes
        if page.names:
            value["items"] = [bucket.objects[name].resource for name in page.names]
        return value

    def _get(self, call: Call, bucket: str, name: str) -> object:
        found = self._state.get(
            bucket, name, call.number("generation"), Preconditions.from_query(call.query)
        )
        return found.resource

    def _patch(self, call: Call, bucket: str, name: str) -> object:
        conditions = Preconditions.from_query(call.query)
        found = self._state.get(bucket, name, call.number("generation"), conditions)
        return self._state.patch(found, call.json(), whole=call.method == "PUT").resource

    def _delete(self, call: Call, bucket: str, name: str) -> object:
        self._state.delete(bucket, name, call.number("generation"), Preconditions.from_query(call.query))
        return None

    def _compose(self, call: Call, bucket: str, name: str) -> object:
        body = call.json()
        sources = body.get("sourceObjects")
        if not isinstance(sources, list) or not sources:
            raise ApiError(400, "You must provide at least one source component.", reason="required")
        if len(sources) > MAX_COMPONENTS:
            message = f"The number of source components provided ({len(sources)}) exceeds the maximum ({MAX_COMPONENTS})"
            raise ApiError(400, message)
        found: list[StoredObject] = []
        for source in sources:
            if not isinstance(source, dict) or not isinstance(source.get("name"), str):
                raise ApiError(400, "Required parameter: name", reason="required")
            asked = source.get("objectPreconditions") or {}
            conditions = Preconditions(generation=parse_number("ifGenerationMatch", _optional(asked, "ifGenerationMatch")))
            generation = parse_number("generation", _optional(source, "generation"))
            found.append(self._state.get(bucket, source["name"], generation, conditions))
        description = Description.from_resource(body.get("destination") or {})
        stored = self._state.commit(
            bucket,
            name,
            Rope.join(item.content for item in found),
            description,
            Preconditions.from_query(call.query),
            components=sum(item.components or 1 for item in found),
        )
        return stored.resource

    def _source(self, call: Call, bucket: str, name: str) -> StoredObject:
        conditions = Preconditions.from_query(call.query, "Source")
        return self._state.get(bucket, name, call.number("sourceGeneration"), conditions)

    def _copy(self, call: Call, source: StoredObject, bucket: str, name: str) -> object:
        return copy_object(self._state, source, bucket, name, call.json(), Preconditions.from_query(call.query)).resource

    def _rewrite(self, call: Call, source: StoredObject, bucket: str, name: str) -> object:
        """Copy, in several calls if the caller limits the bytes per call."""
        conditions = Preconditions.from_query(call.query)
        self._state.check_write(bucket, name, conditions)
        step = call.number("maxBytesRewrittenPerCall")
        token = call.query.get("rewriteToken", "")
        if token and token not in self._rewrites:
            raise ApiError(400, "Invalid rewrite token")
        done = self._rewrites.pop(token, 0)
        if step is not None:
            if step < _REWRITE_STEP or step % _REWRITE_STEP:
                raise ApiError(400, "maxBytesRewrittenPerCall must be a multiple of 1048576")
            done += step
        progress = {"kind": "storage#rewriteResponse", "objectSize": str(source.size)}
        if step is not None and done < source.size:
            token = f"rewrite-{self._state.tick()}"
            self._rewrites[token] = done
            return progress | {"totalBytesRewritten": str(done), "done": False, "rewriteToken": token}
        stored = copy_object(self._state, source, bucket, name, call.json(), conditions)
        return progress | {"totalBytesRewritten": str(source.size), "done": True, "resource": stored.resource}


_OBJECT_VERBS: dict[str, Callable[[JsonApi, Call, str, str], object]] = {
    "GET": JsonApi._get,
    "PATCH": JsonApi._patch,
    "PUT": JsonApi._patch,
    "DELETE": JsonApi._delete,
}


def copy_object(
    state: State, source: StoredObject, bucket: str, name: str, resource: dict[str, Any], conditions: Preconditions
) -> StoredObject:
    """Copy under another name, with the source's description unless *resource* gives another."""
    if state.find(source.bucket, source.name) is not source:
        raise no_such_object(source.bucket, source.name)
    if resource:
        description = Description.from_resource(resource)
        if description.content_type is None:
            description = replace(description, content_type=source.content_type)
    else:
        description = Description(
            content_type=source.content_type,
            storage_class=source.storage_class,
            metadata=source.metadata,
            simple=source.simple,
        )
    return state.commit(bucket, name, source.content, description, conditions, components=source.components)


def _optional(mapping: dict[str, Any], key: str) -> str | None:
    value = mapping.get(key)
    return None if value is None else str(value)

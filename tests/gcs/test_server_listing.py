"""Lists through the JSON API: prefixes, paging, offsets, globs, partial answers."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import pytest
from plain_http import BUCKET, Client, object_path

pytestmark = pytest.mark.asyncio

NAMES = ["a", "a/", "a/b", "a/b/c", "a/b/d", "a/e", "ab", "b/x.txt", "b/y.csv", "b/z/x.txt", "é", "\uffff", "🎉"]


async def listed(client: Client, **query: object) -> tuple[list[str], list[str]]:
    """All pages."""
    names: list[str] = []
    prefixes: list[str] = []
    token = ""
    while True:
        text = urlencode({**query, "pageToken": token} if token else query)
        page = (await client.send("GET", f"/storage/v1/b/{BUCKET}/o?{text}")).json()
        assert "error" not in page, page
        assert len(page.get("items", [])) + len(page.get("prefixes", [])) <= int(str(query.get("maxResults", 1000)))
        names += [item["name"] for item in page.get("items", [])]
        prefixes += page.get("prefixes", [])
        token = page.get("nextPageToken", "")
        if not token:
            return names, prefixes


async def fill(client: Client, names: list[str]) -> None:
    for name in reversed(names):
        await client.put(name, b"x")


@pytest.mark.parametrize("page", [1, 2, 5, 1000])
async def test_names_come_in_utf8_order(client: Client, page: int) -> None:
    await fill(client, NAMES)
    assert sorted(NAMES, key=str.encode) == NAMES
    assert await listed(client, maxResults=page) == (NAMES, [])


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("query", "names", "prefixes"),
    [
        ({"delimiter": "/"}, ["a", "ab", "é", "\uffff", "🎉"], ["a/", "b/"]),
        ({"prefix": "a/", "delimiter": "/"}, ["a/", "a/b", "a/e"], ["a/b/"]),
        ({"prefix": "a/b"}, ["a/b", "a/b/c", "a/b/d"], []),
        ({"prefix": "zzz"}, [], []),
        ({"delimiter": "b/"}, ["a", "a/", "a/b", "a/e", "ab", "é", "\uffff", "🎉"], ["a/b/", "b/"]),
        ({"startOffset": "a/b/c", "endOffset": "ab"}, ["a/b/c", "a/b/d", "a/e"], []),
        ({"startOffset": "a/b/c", "delimiter": "/", "endOffset": "b/y"}, ["ab"], ["a/", "b/"]),
        ({"prefix": "a", "delimiter": "/", "includeTrailingDelimiter": "true"}, ["a", "a/", "ab"], ["a/"]),
        ({"matchGlob": "b/*"}, ["b/x.txt", "b/y.csv"], []),
        ({"matchGlob": "**.txt"}, ["b/x.txt", "b/z/x.txt"], []),
        ({"matchGlob": "b/**/x.txt"}, ["b/x.txt", "b/z/x.txt"], []),
        ({"matchGlob": "b/[xy].{txt,csv}"}, ["b/x.txt", "b/y.csv"], []),
        ({"matchGlob": "a/?"}, ["a/b", "a/e"], []),
    ],
)
async def test_selections(
    client: Client, query: dict[str, str], names: list[str], prefixes: list[str], page: int
) -> None:
    await fill(client, NAMES)
    assert await listed(client, **query, maxResults=page) == (names, prefixes)


async def test_a_page_holds_at_most_a_thousand(client: Client) -> None:
    bucket = client.server.state.buckets[BUCKET]
    stored = (await client.put("x", b"")).json()
    assert stored["name"] == "x"
    for number in range(1500):
        await client.put(f"{number:04d}", b"")
    assert len(bucket.names) == 1501
    for wanted in ("", "&maxResults=5000", "&maxResults=0"):
        page = (await client.send("GET", f"/storage/v1/b/{BUCKET}/o?fields=items/name,nextPageToken{wanted}")).json()
        assert len(page["items"]) == 1000
        assert page["nextPageToken"]


async def test_a_list_goes_on_after_what_was_deleted(client: Client) -> None:
    await fill(client, ["a", "b", "c", "d"])
    first = (await client.send("GET", f"/storage/v1/b/{BUCKET}/o?maxResults=2")).json()
    await client.send("DELETE", object_path("b"))
    second = (await client.send("GET", f"/storage/v1/b/{BUCKET}/o?pageToken={quote(first['nextPageToken'])}")).json()
    assert [item["name"] for item in second["items"]] == ["c", "d"]


@pytest.mark.parametrize("query", ["pageToken=nonsense!", "pageToken=eHh4", "maxResults=-1", "maxResults=two"])
async def test_bad_parameters_are_refused(client: Client, query: str) -> None:
    assert (await client.send("GET", f"/storage/v1/b/{BUCKET}/o?{query}")).status == 400


async def test_an_empty_list_has_no_items(client: Client) -> None:
    assert (await client.send("GET", f"/storage/v1/b/{BUCKET}/o")).json() == {"kind": "storage#objects"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("items(name,size)", {"items": [{"name": "a", "size": "1"}]}),
        ("items/name", {"items": [{"name": "a"}]}),
        ("kind,items(name),nextPageToken", {"kind": "storage#objects", "items": [{"name": "a"}]}),
        ("prefixes", {}),
        ("items/metadata/k", {"items": [{"metadata": {"k": "v"}}]}),
        ("items(name,metadata(l))", {"items": [{"name": "a", "metadata": {"l": "w"}}]}),
    ],
)
async def test_partial_answers(client: Client, fields: str, expected: object) -> None:
    await client.put("a", b"x")
    await client.send("PATCH", object_path("a"), json.dumps({"metadata": {"k": "v", "l": "w"}}).encode())
    assert (await client.send("GET", f"/storage/v1/b/{BUCKET}/o?fields={fields}")).json() == expected


@pytest.mark.parametrize("fields", ["items(name", "items(nmae)", "items()", "items)", ",kind"])
async def test_a_misspelt_selection_is_refused(client: Client, fields: str) -> None:
    await client.put("a", b"x")
    assert (await client.send("GET", f"/storage/v1/b/{BUCKET}/o?fields={fields}")).status == 400


async def test_partial_answers_of_a_single_object(client: Client) -> None:
    uploaded = (await client.put("a", b"x", "&fields=name,size")).json()
    assert uploaded == {"name": "a", "size": "1"}
    assert (await client.stat("a", "fields=size")).json() == {"size": "1"}

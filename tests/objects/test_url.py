"""URLs of stores."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from aioartifacts import open_store
from aioartifacts.errors import InvalidConfigError
from aioartifacts.objects import url as urls
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.objects.url import StoreURL, find_store, parse_url


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("folder", StoreURL("file", "folder")),
        ("./folder/below", StoreURL("file", "./folder/below")),
        ("/absolute", StoreURL("file", "/absolute")),
        ("with:colon", StoreURL("file", "with:colon")),
        ("100%20 #?", StoreURL("file", "100%20 #?")),
        ("C:\\folder", StoreURL("file", "C:\\folder")),
        ("C:/folder", StoreURL("file", "C:/folder")),
        (Path("gs:") / "x", StoreURL("file", "gs:/x")),
        ("file:///a/b%20c/%23", StoreURL("file", "/a/b c/#")),
        ("FILE://localhost/a", StoreURL("file", "/a")),
        ("memory://", StoreURL("memory", "")),
        ("memory://name-1", StoreURL("memory", "name-1")),
        ("gs://bucket", StoreURL("gs", "bucket")),
        ("gs://bucket/", StoreURL("gs", "bucket")),
        ("gs://bucket.example.com/a/b%20/", StoreURL("gs", "bucket.example.com", "a/b%20")),
        ("GS://bucket/A b", StoreURL("gs", "bucket", "A b")),
        ("Other+1://x/y?z", StoreURL("other+1", "Other+1://x/y?z")),
    ],
)
def test_url_is_taken_apart(url, parsed):
    assert parse_url(url) == parsed


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a\x00b",
        b"bytes",
        "file:/a",
        "file:a",
        "memory:",
        "memory:x",
        "gs:bucket",
        "gs:/bucket/a",
        "file://",
        "file:///",
        "file://a",
        "file://host/a",
        "file:///a?b",
        "file:///a#b",
        "file:///a%00",
        "memory://a/b",
        "memory://a?b",
        "gs://",
        "gs:///a",
        "gs://a",
        "gs://Bucket",
        "gs://bucket?x=y",
        "gs://user@bucket",
        "gs://bucket:80/a",
        "gs://bucket/a//b",
        "gs://bucket//",
        "gs://bucket/../a",
        "gs://bucket/metadata.json",
        "gs://bu%63ket/a",
    ],
)
def test_nonsense_is_refused(url):
    with pytest.raises(InvalidConfigError):
        parse_url(url)


def installed(monkeypatch, *points):
    found = EntryPoints(EntryPoint(name, value, urls.ENTRY_POINTS) for name, value in points)
    monkeypatch.setattr(urls, "entry_points", found.select)


def test_other_schemes_are_served_by_entry_points(monkeypatch):
    installed(monkeypatch, ("x", "json:loads"), ("mem", "aioartifacts.objects.memory:MemoryObjectStore"))
    assert find_store("mem") is MemoryObjectStore


@pytest.mark.parametrize(("options", "name"), [({}, "plug"), ({"name": "mine"}, "mine")])
def test_store_of_a_plugin_is_called_as_its_scheme_unless_told_otherwise(monkeypatch, options, name):
    monkeypatch.setattr(urls, "find_store", lambda scheme: lambda url: MemoryObjectStore(scheme))
    assert open_store("plug://a", **options).name == name


def test_scheme_that_nobody_serves_is_refused(monkeypatch):
    installed(monkeypatch, ("mem", "json:loads"))
    with pytest.raises(InvalidConfigError, match="no installed plug-in serves s3://"):
        find_store("s3")


@pytest.mark.parametrize("value", ["no_such_module_anywhere:x", "json:no_such_function"])
def test_plugin_that_cannot_be_imported_is_named(monkeypatch, value):
    installed(monkeypatch, ("x", value))
    with pytest.raises(InvalidConfigError, match=value):
        find_store("x")

"""What a store is told: names, addresses, options, and what it tells of them."""

import json
import pickle
import subprocess
import sys

import pytest

from aioartifacts.errors import InvalidConfigError, InvalidPathError
from aioartifacts.objects.gcs import AccessToken, GCSObjectStore
from aioartifacts.objects.gcs.names import Names
from aioartifacts.types import KIB, RetryPolicy


def a_token():
    return "from-a-function"


@pytest.mark.parametrize("bucket", ["abc", "my-bucket_1", "a.b.example.com", "0" * 63, ("a" * 50 + ".") * 4 + "a"])
def test_bucket_names_are_taken(bucket):
    assert GCSObjectStore(bucket).url == f"gs://{bucket}"


@pytest.mark.parametrize(
    "bucket",
    ["", "ab", "a" * 64, "Abc", "bkt/o/a?alt=media&x=", "a b c", "-abc", "abc-", "a..b", "1.2.3.4", "googbucket", "my-google", "abc\n",
     "gs://abc", "äbc", ("a" * 60 + ".") * 4 + "a", b"abc", "a" * 64 + ".b"],
)  # fmt: skip
def test_what_is_no_bucket_name_is_refused(bucket):
    with pytest.raises(InvalidConfigError):
        GCSObjectStore(bucket)


@pytest.mark.parametrize("prefix", ["/a", "a/", "a//b", "a/../b", ".", "a\\b", None, "a/metadata.json"])
def test_illegal_prefix_is_refused(prefix):
    with pytest.raises(InvalidConfigError, match="prefix"):
        GCSObjectStore("abc", prefix)


@pytest.mark.parametrize(
    "endpoint",
    ["", "localhost:9000", "ftp://host", "http://", "http://user:pw@host", "http://host?x=1", "http://host#x", "http://host:port", 7],
)
def test_what_is_no_endpoint_is_refused_and_not_shown(endpoint):
    with pytest.raises(InvalidConfigError) as caught:
        GCSObjectStore("abc", endpoint=endpoint)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"chunk_size": 0}, {"chunk_size": 100_000}, {"chunk_size": 256.0 * KIB}, {"parallel": 0}, {"parallel_from": 0}, {"connections": -1},
     {"sock_read": 0}, {"sock_connect": float("inf")}, {"project": ""}, {"credentials": ""}, {"credentials": 7}],
)  # fmt: skip
def test_senseless_options_are_refused(options):
    with pytest.raises(InvalidConfigError):
        GCSObjectStore("abc", **options)


@pytest.mark.parametrize("secret", ["ya29.a0AfB_secret", '{"type": "service_account"}', "Bearer secret", "-----BEGIN PRIVATE KEY-----"])
def test_secret_given_for_a_file_name_is_refused_and_not_shown(secret):
    with pytest.raises(InvalidConfigError) as caught:
        GCSObjectStore("abc", credentials=secret)
    assert secret not in str(caught.value)


def test_emulator_host_is_used_without_credentials(monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:9023")
    store = GCSObjectStore("abc", credentials=a_token)
    assert store.config()["endpoint"] == "http://127.0.0.1:9023"
    assert store._settings.credentials == "anonymous"


def test_endpoint_goes_before_the_emulator_host(monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9023/")
    store = GCSObjectStore("abc", endpoint="https://storage.example.com/", credentials=a_token)
    assert store.config()["endpoint"] == "https://storage.example.com"
    assert store._settings.credentials is a_token


def test_locations_round_trip_and_others_are_refused():
    store = GCSObjectStore("abc", "team/x")
    assert store.location("a b/ü#?%2F") == "gs://abc/team/x/a b/ü#?%2F"
    assert store.relative("gs://abc/team/x/a b/ü#?%2F") == "a b/ü#?%2F"
    assert store.relative("gs://abc/team/x") == store.relative("gs://abc/team/x/") == ""
    assert store.relative("a/b") is None
    for outside in ("gs://abd/team/x/a", "gs://abc/team/xy", "gs://abc/team", "gs://abc", "s3://abc/team/x/a", "file:///a"):
        with pytest.raises(InvalidPathError) as caught:
            store.relative(outside)
        assert outside in str(caught.value)
        assert "gs://abc/team/x" in str(caught.value)


def test_configuration_is_json_without_secrets():
    store = GCSObjectStore("abc", "team", project="my-project", credentials=AccessToken("very-secret"))
    config = {"bucket_name": "abc", "prefix": "team", "project_id": "my-project", "endpoint": None}
    assert json.loads(json.dumps(store.config())) == config
    assert "very-secret" not in repr(store) + repr(store._settings) + str(store.config())


def test_pickle_is_the_configuration():
    store = GCSObjectStore(
        "abc", "team", endpoint="http://127.0.0.1:1", credentials=a_token, retry=RetryPolicy(deadline=3), chunk_size=512 * KIB
    )
    again = pickle.loads(pickle.dumps(store))
    assert again._settings == store._settings
    assert again.url == "gs://abc/team"


def test_token_is_not_pickled():
    with pytest.raises(InvalidConfigError, match="not pickled"):
        pickle.dumps(GCSObjectStore("abc", credentials=AccessToken("very-secret")))


@pytest.mark.parametrize("token", ["", "two words", "line\n", "ä", None])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(InvalidConfigError):
        AccessToken(token)


@pytest.mark.parametrize("key", ["", "x" * 1025, "a\nb", "a\rb", ".", "..", "lone\udcff"])
def test_names_that_the_service_cannot_have_are_refused(key):
    with pytest.raises(InvalidPathError):
        Names("https://host", "abc", "").name(key)


def test_names_are_quoted_once():
    names = Names("https://host", "abc", "p q")
    assert names.object_url("a/b%2F+?#&=ü", alt="media", generation=None) == (
        "https://host/storage/v1/b/abc/o/p%20q%2Fa%2Fb%252F%2B%3F%23%26%3D%C3%BC?alt=media"
    )
    assert names.xml_url("a/b%2F+?", uploadId="x/+=") == "https://host/abc/p%20q/a/b%252F%2B%3F?uploadId=x%2F%2B%3D"


def test_building_a_store_needs_no_loop_and_imports_no_client():
    code = (
        "import sys; from aioartifacts.objects.gcs import GCSObjectStore; GCSObjectStore('abc');"
        "sys.exit(any(name in sys.modules for name in ('aiohttp', 'gcloud.aio.storage', 'gcloud.aio.auth')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

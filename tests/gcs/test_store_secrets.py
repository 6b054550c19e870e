"""Tokens: where they come from, and that they are seen nowhere else."""

import asyncio
import json
import pickle
import traceback

import aiohttp
import pytest
import pytest_asyncio
from gcloud.aio.auth.token import TokenResponse, Type
from store_places import BUCKET, CHUNK, NEVER, Bytes, fault, opened, requests, stored

from aioartifacts.errors import (
    ArtifactError,
    InvalidConfigError,
    PermissionDeniedError,
    StoreError,
    TransientStoreError,
)
from aioartifacts.objects.gcs import AccessToken
from aioartifacts.objects.gcs import auth as auth_module
from aioartifacts.objects.gcs.auth import SCOPE, Renewed, tokens
from aioartifacts.objects.gcs.failures import retry_after, scrub
from aioartifacts.testing.gcs_server import GCSServer, service_account

pytestmark = pytest.mark.asyncio

SECRET = "ya29.not-to-be-seen_0123456789"
DATA = bytes(3 * CHUNK)


@pytest_asyncio.fixture
async def server():
    async with GCSServer(buckets=(BUCKET,), require_token=True) as found:
        yield found


@pytest.fixture
def account(server, tmp_path):
    file = tmp_path / "account.json"
    file.write_text(json.dumps(service_account(server.url)))
    return file


def token_requests(server):
    return [request for request in requests(server, "POST") if request["path"] == "/token"]


def assert_hidden(error, *secrets):
    shown = [str(error), repr(error), repr(pickle.dumps(error)), repr(error.__dict__)]
    shown += traceback.format_exception(error)
    assert error.__cause__ is None
    assert error.__context__ is None or isinstance(error.__context__, ArtifactError | asyncio.CancelledError)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "aioartifacts/objects" in frame.f_code.co_filename:
            shown += [repr(value) for value in frame.f_locals.values()]
    for secret in secrets:
        assert not [text for text in shown if secret in text]
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.path) == (type(error), str(error), error.path)


# sources


async def test_service_account_is_asked_once_for_many_requests(server, account):
    async with opened(server, credentials=account) as store:
        async with asyncio.TaskGroup() as group:
            for i in range(20):
                group.create_task(store.put(f"a/{i}", Bytes(b"x")))
        await store.put("large", Bytes(DATA))
    assert len(token_requests(server)) == 1
    assert stored(server, "large") == DATA


async def test_application_default_credentials_are_found_by_their_variable(server, account, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    async with opened(server, credentials=None) as store:
        await store.validate()
    assert len(token_requests(server)) == 1


async def test_token_and_functions_that_return_one(server):
    given = server.tokens.issue(SECRET)

    async def later():
        await asyncio.sleep(0)
        return given

    for credentials in (AccessToken(given), lambda: given, later):
        async with opened(server, credentials=credentials) as store:
            await store.put("a", Bytes(b"x"))
            assert (await store.get("a")).data == b"x"


async def test_only_objects_are_asked_for(server, account):
    async with aiohttp.ClientSession() as session:
        source = await asyncio.to_thread(tokens, str(account), session)
    assert source._source.scopes == SCOPE == "https://www.googleapis.com/auth/devstorage.read_write"


async def test_anonymous_store_sends_no_token(server):
    async with opened(server, credentials="anonymous") as store:
        with pytest.raises(PermissionDeniedError, match="credentials="):
            await store.head("a")
    assert token_requests(server) == []


async def test_emulator_host_turns_nothing_off(server, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    given = server.tokens.issue(SECRET)
    async with opened(server, credentials=AccessToken(given)) as store:
        await store.put("a", Bytes(b"x"))
        bucket = await store._bucket()
        connector = bucket.client._storage.session.session.connector
        assert connector._ssl is True, "TLS is verified"
    assert stored(server, "a") == b"x"


@pytest.mark.parametrize("content", [None, "not json", "[]", "{}"])
async def test_unusable_credentials_file_is_no_reason_to_look_elsewhere(server, tmp_path, content):
    file = tmp_path / "broken.json"
    if content is not None:
        file.write_text(content)
    async with opened(server, credentials=str(file)) as store:
        with pytest.raises(InvalidConfigError, match=r"broken\.json"):
            await store.head("a")


async def test_refused_key_is_final_at_once(server, account):
    fault(server, "status", status=400, path="^/token", message="invalid_grant: no such key")
    async with opened(server, credentials=account) as store:
        with pytest.raises(PermissionDeniedError, match="invalid_grant"):
            await store.head("a")
    assert len(token_requests(server)) == 1


async def test_busy_token_endpoint_is_transient(server, account):
    fault(server, "status", status=503, path="^/token", count=1)
    async with opened(server, credentials=account) as store:
        with pytest.raises(TransientStoreError) as caught:
            await store.put("a", Bytes(b"x"))
        assert (caught.value.path, caught.value.operation) == ("a", "put")
        await store.put("a", Bytes(b"x"))


async def test_revoked_token_is_replaced(server, account):
    async with opened(server, credentials=account) as store:
        await store.put("a", Bytes(b"x"))
        server.tokens.revoke()
        bucket = await store._bucket()
        bucket.client._tokens._given_at -= 60
        with pytest.raises(TransientStoreError):
            await store.get("a")
        assert (await store.get("a")).data == b"x"


async def test_token_that_is_refused_as_soon_as_given_is_final(server, account):
    async with opened(server, credentials=account) as store:
        await store.put("a", Bytes(b"x"))
        server.tokens.revoke()
        with pytest.raises(PermissionDeniedError):
            await store.get("a")


class Source:
    """A `gcloud.aio.auth.Token` that answers when it is told to."""

    token_type = Type.SERVICE_ACCOUNT
    service_data = {"private_key": SECRET}

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0
        self.go = asyncio.Event()

    async def refresh(self, *, timeout):
        self.asked += 1
        await self.go.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_cancelled_caller_does_not_cancel_the_refresh_for_the_others():
    source = Source(TokenResponse("token", 3600))
    renewed = Renewed(source)
    one, other = asyncio.create_task(renewed.get()), asyncio.create_task(renewed.get())
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait([one])
    source.go.set()
    assert await other == "token"
    assert source.asked == 1


async def test_token_is_renewed_before_its_end():
    source = Source(TokenResponse("first", 3600), TokenResponse("second", 3600))
    source.go.set()
    renewed = Renewed(source)
    assert [await renewed.get(), await renewed.get()] == ["first", "first"]
    renewed._renew_at -= 3600 - auth_module.EARLY
    assert await renewed.get() == "second"


@pytest.mark.parametrize("error", [KeyError("access_token"), ValueError(SECRET), TypeError(SECRET)])
async def test_unusable_credentials_are_permission_errors_without_details(error):
    source = Source(error)
    source.go.set()
    failure = await Renewed(source).get()
    assert isinstance(failure, PermissionDeniedError)
    assert_hidden(failure, SECRET)


async def test_closing_stops_a_renewal_under_way():
    renewed = Renewed(Source())
    waiting = asyncio.create_task(renewed.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await renewed.aclose()
    failure = await waiting  # not a cancellation: nobody has cancelled whoever waited
    assert isinstance(failure, StoreError)
    assert "closed" in str(failure)


# errors


@pytest.mark.parametrize("trouble", ["401", "403", "503", "400 that tells it", "drop", "truncate"])
async def test_no_error_shows_the_token(server, trouble):
    given = SECRET if trouble == "401" else server.tokens.issue(SECRET)
    if trouble == "400 that tells it":
        fault(server, "status", status=400, message=f"what is Authorization: Bearer {SECRET} and {SECRET}?")
    elif trouble in ("403", "503"):
        fault(server, "status", status=int(trouble))
    elif trouble != "401":
        fault(server, trouble)
    async with opened(server, credentials=AccessToken(given), retry=NEVER) as store:
        calls = [
            lambda: store.head("a"),
            lambda: store.get("a"),
            lambda: store.put("a", Bytes(b"x")),
            lambda: store.put("a", Bytes(DATA)),
            lambda: store.copy("a", "b"),
        ]
        for call in calls:
            with pytest.raises(ArtifactError) as caught:
                await call()
            assert_hidden(caught.value, SECRET)


@pytest.mark.parametrize("action", ["status", "drop"])
async def test_no_error_shows_the_address_of_an_upload(server, action):
    given = server.tokens.issue(SECRET)
    fault(server, action, method="PUT", message="no upload_id=SESSION-SECRET here")
    async with opened(server, credentials=AccessToken(given), retry=NEVER) as store:
        with pytest.raises(TransientStoreError) as caught:
            await store.put("a", Bytes(DATA))
    (session,) = server.state.sessions
    assert_hidden(caught.value, SECRET, session, "SESSION-SECRET")


async def test_token_is_not_sent_to_another_host_than_the_endpoint(server):
    given = server.tokens.issue(SECRET)
    async with GCSServer(buckets=(BUCKET,), require_token=True) as stranger:
        stranger.tokens.issue(SECRET)
        async with opened(server, credentials=AccessToken(given)) as store:
            bucket = await store._bucket()
            from aioartifacts.objects.gcs.client import Request

            with pytest.raises(PermissionDeniedError):
                await bucket.client.call(Request("GET", f"{stranger.url}/storage/v1/b/{BUCKET}", "head", "a"))


@pytest.mark.parametrize("result", [None, "", "two words", 7])
async def test_function_that_returns_no_token(server, result):
    async with opened(server, credentials=lambda: result) as store:
        with pytest.raises(PermissionDeniedError, match="did not return"):
            await store.head("a")


async def test_function_that_raises_is_not_quoted(server):
    def broken():
        raise RuntimeError(SECRET)

    async with opened(server, credentials=broken) as store:
        with pytest.raises(PermissionDeniedError, match="RuntimeError") as caught:
            await store.head("a")
    assert_hidden(caught.value, SECRET)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRET", "bearer SECRET", "https://host/o?upload_id=SECRET&x=1", "?uploadId=SECRET",
        "X-Goog-Signature=SECRET",
        '{"access_token": "SECRET"}', "ya29.SECRET", '"private_key": "SECRET"', "refresh_token=SECRET", "upload_id%3DSECRET",
        "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----",
    ],
)  # fmt: skip
async def test_what_looks_like_a_secret_is_scrubbed(text):
    assert "SECRET" not in scrub(f"before {text} after")
    assert scrub(f"before {text} after").startswith("before ")


async def test_retry_after_is_seconds_or_a_date():
    assert retry_after("120") == 120.0
    assert retry_after("Fri, 31 Dec 1999 23:59:59 GMT") == 0.0
    assert retry_after("Fri, 31 Dec 2200 23:59:59 GMT") > 1e6
    assert retry_after("soon") is retry_after(None) is None

"""Faults on demand, the request log, tokens, and the server as a process."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from plain_http import BUCKET, MIB, Client, object_path, serving

from aioartifacts.testing.gcs_server import Fault, GCSServerProcess, exchange, service_account
from aioartifacts.testing.gcs_server.exchange import Pacer

UPLOAD = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name="
DATA = bytes(range(256)) * 4096


async def install(client: Client, **fault: Any) -> None:
    reply = await client.send("POST", "/_control/faults", json.dumps(fault).encode())
    assert reply.status == 200, reply


@pytest.mark.asyncio
async def test_a_status_instead_of_the_answer(client: Client) -> None:
    await install(client, action="status", status=429, headers={"Retry-After": "7"}, message="Slow down.", count=1)
    reply = await client.put("a", b"x")
    assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
    assert reply.json()["error"]["message"] == "Slow down."
    assert (await client.stat("a")).status == 404, "nothing was applied"
    assert (await client.put("a", b"x")).status == 200, "once only"


@pytest.mark.asyncio
async def test_a_status_after_the_request_was_applied(client: Client) -> None:
    await install(client, action="status", when="applied", count=1)
    assert (await client.put("a", b"x")).status == 503
    assert (await client.read("a")).body == b"x"


@pytest.mark.asyncio
async def test_a_drop_before_the_request_is_applied(client: Client) -> None:
    await install(client, action="drop", method="POST", count=1)
    with pytest.raises(aiohttp.ClientError):
        await client.put("a", b"x")
    assert (await client.stat("a")).status == 404


@pytest.mark.asyncio
async def test_a_drop_after_the_request_was_applied(client: Client) -> None:
    await install(client, action="drop", when="applied", method="POST", count=1)
    with pytest.raises(aiohttp.ClientError):
        await client.put("a", b"x")
    assert (await client.read("a")).body == b"x"


@pytest.mark.asyncio
@pytest.mark.parametrize("after", [0, 1, 1000, len(DATA) - 1])
async def test_a_truncated_answer(client: Client, after: int) -> None:
    await client.put("a", DATA)
    await install(client, action="truncate", after_bytes=after)
    async with client.session.get(f"{client.server.url}{object_path('a')}?alt=media") as answer:
        assert answer.headers["Content-Length"] == str(len(DATA))
        got = bytearray()

        async def read() -> None:
            while chunk := await answer.content.readany():
                got.extend(chunk)

        with pytest.raises(aiohttp.ClientPayloadError):
            await read()
    assert DATA.startswith(got)
    assert len(got) <= after


@pytest.mark.asyncio
async def test_a_flipped_bit(client: Client) -> None:
    await client.put("a", DATA)
    await install(client, action="flip", query="alt=media", after_bytes=1000, count=1)
    damaged = (await client.read("a")).body
    assert [at for at in range(len(DATA)) if damaged[at] != DATA[at]] == [1000]
    assert (await client.read("a")).body == DATA, "what is stored is whole"


@pytest.mark.asyncio
async def test_a_stall_is_released(client: Client) -> None:
    await install(client, action="stall", method="POST", count=1)
    held = asyncio.create_task(client.put("a", b"x"))
    await client.server.stalls.wait()
    assert (await client.stat("a")).status == 404
    assert (await client.send("POST", "/_control/release")).status == 204
    assert (await held).status == 200


@pytest.mark.asyncio
async def test_a_stall_ends_by_itself(client: Client) -> None:
    await install(client, action="stall", timeout=0.01)
    assert (await client.put("a", b"x")).status == 200


@pytest.mark.asyncio
async def test_a_request_stalled_at_its_commit_applies_though_the_client_has_gone(client: Client) -> None:
    await install(client, action="stall", when="commit", method="POST", count=1)
    held = asyncio.create_task(client.put("a", b"late"))
    await client.server.stalls.wait()
    held.cancel()
    await asyncio.wait([held])
    await client.put("a", b"early")
    client.server.control.release()
    while client.server.journal.in_flight:  # noqa: ASYNC110 - the answer has nobody to go to
        await asyncio.sleep(0)
    assert (await client.read("a")).body == b"late"


@pytest.mark.asyncio
async def test_a_stall_in_the_middle_of_an_answer(client: Client) -> None:
    await client.put("a", DATA)
    await install(client, action="stall", when="answer", method="GET", after_bytes=5000)
    async with client.session.get(f"{client.server.url}{object_path('a')}?alt=media") as answer:
        first = await answer.content.readexactly(5000)
        await client.server.stalls.wait()
        client.server.control.release()
        assert first + await answer.read() == DATA


def test_a_pacer_lets_bytes_pass_one_after_the_other() -> None:
    pacer = Pacer()
    assert pacer.delay(100, 1000, now=10.0) == pytest.approx(0.1)
    assert pacer.delay(100, 1000, now=10.0) == pytest.approx(0.2), "these wait for the first"
    assert pacer.delay(100, 1000, now=10.15) == pytest.approx(0.15)
    assert pacer.delay(100, 1000, now=10.34) == pytest.approx(0.06), "a little lateness is made up for"
    assert pacer.delay(100, 1000, now=20.0) == pytest.approx(0.1), "and nothing is saved up"


@pytest.mark.asyncio
async def test_latency_and_bandwidth_add_to_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(exchange, "pause", pause)
    async with serving(latency_ms=30, bandwidth=1) as client:
        await install(client, action="latency", latency_ms=12, nth=1)
        await install(client, action="status", nth=1)
        assert (await client.put("a", DATA)).status == 503
        assert pauses[0] == pytest.approx(0.042)
        pauses.clear()
        assert (await client.put("a", DATA)).status == 200
        assert pauses[0] == pytest.approx(0.03)
        assert max(pauses) > 0.99 * len(DATA)
        pauses.clear()
        assert (await client.read("a")).body == DATA
        assert max(pauses) > 0.99 * len(DATA)


@pytest.mark.asyncio
async def test_selecting_by_method_path_and_query(client: Client) -> None:
    await client.put("a/b", b"x")
    await install(client, action="status", method="get", path="/o/a/b$", query="alt=media")
    assert (await client.read("a/b")).status == 503
    assert (await client.stat("a/b")).status == 200
    assert (await client.send("DELETE", object_path("a/b") + "?alt=media")).status == 204


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("selection", "hit"), [({"nth": 3}, [2]), ({"nth": [1, 4]}, [0, 3]), ({"count": 2}, [0, 1]), ({"probability": 0}, [])]
)
async def test_selecting_by_number(client: Client, selection: dict[str, Any], hit: list[int]) -> None:
    await install(client, action="status", method="POST", **selection)
    statuses = [(await client.put("a", b"x")).status for _ in range(5)]
    assert [number for number, status in enumerate(statuses) if status == 503] == hit


@pytest.mark.asyncio
async def test_probability_is_repeatable(client: Client) -> None:
    async def run(seed: int) -> list[int]:
        client.server.faults.remove()
        client.server.add_fault(Fault(action="status", probability=0.5, seed=seed))
        return [(await client.put("a", b"x")).status for _ in range(40)]

    first = await run(1)
    assert set(first) == {200, 503}
    assert await run(1) == first
    assert await run(2) != first


@pytest.mark.asyncio
async def test_faults_are_listed_and_removed(client: Client) -> None:
    await install(client, action="status", method="POST", count=1)
    await client.put("a", b"x")
    await client.put("a", b"x")
    found = (await client.send("GET", "/_control/faults")).json()["faults"]
    assert [(fault["action"], fault["seen"], fault["fired"]) for fault in found] == [("status", 2, 1)]
    assert (await client.send("DELETE", f"/_control/faults/{found[0]['id']}")).status == 204
    assert (await client.send("GET", "/_control/faults")).json() == {"faults": []}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault",
    [{}, {"action": "explode"}, {"action": "drop", "patch": "x"}, {"action": "drop", "path": "("}, {"action": "bandwidth"},
     {"action": "drop", "when": "commit"}],
)  # fmt: skip
async def test_what_is_not_a_fault_is_refused(client: Client, fault: dict[str, Any]) -> None:
    assert (await client.send("POST", "/_control/faults", json.dumps(fault).encode())).status == 400


@pytest.mark.asyncio
async def test_the_log(client: Client) -> None:
    await client.put("a b", b"data")
    await client.read("a b", Range="bytes=1-2")
    await install(client, action="drop", when="applied", method="DELETE")
    with pytest.raises(aiohttp.ClientError):
        await client.send("DELETE", object_path("a b"))
    log = (await client.send("GET", "/_control/log")).json()["requests"]
    shown = [(e["method"], e["target"], e["status"], e["bytes_in"], e["bytes_out"], e["visible"]) for e in log[:3]]
    assert shown[0] == ("POST", f"/upload/storage/v1/b/{BUCKET}/o", 200, 4, shown[0][4], True)
    assert shown[1] == ("GET", f"/storage/v1/b/{BUCKET}/o/a b", 206, 0, 2, True)
    assert shown[2] == ("DELETE", f"/storage/v1/b/{BUCKET}/o/a b", None, 0, 0, False)
    assert (log[1]["query"], log[1]["headers"]["Range"], log[2]["action"]) == ("alt=media", "bytes=1-2", "drop")
    assert (await client.send("DELETE", "/_control/log")).status == 204
    assert (await client.send("GET", "/_control/log")).json()["requests"] == []


@pytest.mark.asyncio
async def test_a_reset_leaves_empty_buckets_and_no_faults(client: Client) -> None:
    await client.put("a", b"x")
    await client.begin("b")
    await client.send("POST", "/storage/v1/b", b'{"name": "another"}')
    await install(client, action="status")
    await client.send("POST", "/_control/reset")
    state = (await client.send("GET", "/_control/state")).json()
    assert (state["buckets"], state["sessions"]) == ({BUCKET: {"objects": 0, "bytes": 0}}, [])
    assert (await client.put("a", b"x")).status == 200


@pytest.mark.asyncio
async def test_a_client_that_goes_away_during_an_upload_leaves_nothing(client: Client) -> None:
    started = asyncio.Event()

    async def body() -> Any:
        yield b"x" * MIB
        started.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(client.send("POST", UPLOAD + "a", body()))
    await started.wait()
    upload.cancel()
    await asyncio.wait([upload])
    while client.server.journal.in_flight:  # noqa: ASYNC110 - until the server has noticed
        await asyncio.sleep(0)
    assert (await client.stat("a")).status == 404


class TestTokens:
    def assertion(self, **claims: Any) -> bytes:
        now = int(time.time())
        merged = {"iss": "x@example", "aud": "token", "scope": "all", "iat": now, "exp": now + 3600} | claims
        parts = [{"alg": "RS256", "typ": "JWT"}, merged]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        return urlencode({"grant_type": grant, "assertion": ".".join([*encoded, "c2ln"])}).encode()

    @pytest.mark.asyncio
    async def test_a_token_is_needed_and_given(self) -> None:
        async with serving(require_token=True) as client:
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                refused = await client.put("a", b"x", **headers)
                assert (refused.status, refused.reason) == (401, "authError")
                assert "WWW-Authenticate" in refused.headers
            token = (await client.send("POST", "/token", self.assertion())).json()["access_token"]
            assert (await client.put("a", b"x", Authorization=f"Bearer {token}")).status == 200
            await client.send("DELETE", "/_control/tokens")
            assert (await client.put("a", b"x", Authorization=f"Bearer {token}")).status == 401

    @pytest.mark.asyncio
    async def test_an_upload_session_is_its_own_authorization(self) -> None:
        async with serving(require_token=True) as client:
            token = (await client.send("POST", "/token", self.assertion())).json()["access_token"]
            location = await client.begin("a", Authorization=f"Bearer {token}")
            assert (await client.send("PUT", location, b"x")).status == 200

    @pytest.mark.asyncio
    @pytest.mark.parametrize("claims", [{"exp": 1}, {"iat": 2**40, "exp": 2**40 + 10}, {"scope": ""}, {"iss": ""}])
    async def test_a_bad_assertion_is_refused(self, client: Client, claims: dict[str, Any]) -> None:
        assert (await client.send("POST", "/token", self.assertion(**claims))).status == 400

    @pytest.mark.asyncio
    @pytest.mark.parametrize("body", [b"", b"grant_type=password", b"assertion=x"])
    async def test_another_grant_is_refused(self, client: Client, body: bytes) -> None:
        assert (await client.send("POST", "/token", body)).status == 400

    @pytest.mark.asyncio
    async def test_gcloud_aio_gets_a_token_with_a_service_account(self) -> None:
        import io

        from gcloud.aio.storage import Storage

        async with serving(require_token=True) as client:
            account = io.StringIO(json.dumps(service_account(client.server.url)))
            async with Storage(service_file=account, api_root=client.server.url, api_is_dev=False) as storage:
                await storage.upload(BUCKET, "a", b"data")
                assert await storage.download(BUCKET, "a") == b"data"


@pytest.mark.asyncio
async def test_the_process_ends_with_its_standard_input() -> None:
    with GCSServerProcess("--bucket", "b-1", "--bucket", "b-2", "--no-md5") as server:
        assert set(server.snapshot()["buckets"]) == {"b-1", "b-2"}
        async with aiohttp.ClientSession() as session:
            url = f"{server.url}/upload/storage/v1/b/b-1/o?uploadType=media&name=a"
            async with session.post(url, data=b"x") as answer:
                assert "md5Hash" not in await answer.json()
        process = server._process
    assert process is not None
    assert process.returncode == 0


@pytest.mark.asyncio
async def test_a_server_that_cannot_start_says_so() -> None:
    with GCSServerProcess() as server:
        port = server.url.rpartition(":")[2]
        with pytest.raises(RuntimeError, match="did not start"):
            GCSServerProcess("--port", port).start()


@pytest.mark.asyncio
async def test_the_command_line_explains_itself() -> None:
    command = [sys.executable, "-m", "aioartifacts.testing.gcs_server", "--help"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert "--require-token" in done.stdout


@pytest.mark.asyncio
async def test_the_fixture_starts_every_test_anew(gcs_server: GCSServerProcess) -> None:
    gcs_server.fault("status", count=3)
    assert [fault["action"] for fault in gcs_server.faults()] == ["status"]
    gcs_server.clear_faults()
    assert gcs_server.faults() == []
    assert gcs_server.log() == []
    assert gcs_server.snapshot()["buckets"] == {"test-bucket": {"objects": 0, "bytes": 0}}

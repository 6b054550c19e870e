"""Run the server until it is interrupted. The first line of output is a JSON object with its URL."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading

from .server import GCSServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m aioartifacts.testing.gcs_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--bucket", action="append", default=[], help="a bucket that exists from the start; repeatable")
    parser.add_argument("--require-token", action="store_true", help="refuse requests without a token from /token")
    parser.add_argument("--no-md5", action="store_true", help="leave out MD5 digests, which are slow")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="delay every request")
    parser.add_argument("--bandwidth", type=int, help="bytes per second of each connection, each way")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> None:
    server = GCSServer(
        buckets=tuple(arguments.bucket),
        port=arguments.port,
        require_token=arguments.require_token,
        md5=not arguments.no_md5,
        latency_ms=arguments.latency_ms,
        bandwidth=arguments.bandwidth,
    )
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in ("SIGINT", "SIGTERM"):
        try:
            loop.add_signal_handler(getattr(signal, name), stop.set)
        except NotImplementedError:  # Windows: Ctrl-C interrupts asyncio.run instead
            break
    async with server:
        sys.stdout.write(json.dumps({"url": server.url, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        if arguments.until_stdin_closes:
            threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
        await stop.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # Not through sys.stdin, whose lock a daemon thread would hold at exit.
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    main()

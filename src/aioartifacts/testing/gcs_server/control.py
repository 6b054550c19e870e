"""The endpoints under ``/_control/``: what a test asks of the server itself."""

from __future__ import annotations

from .faults import Fault, Faults
from .journal import Journal
from .stalls import Stalls
from .state import State
from .tokens import Tokens
from .wire import Answer, ApiError, Call, no_such_route


class Control:
    """Answers control calls; *call.segments* is the path after ``/_control/``."""

    def __init__(
        self, state: State, faults: Faults, journal: Journal, tokens: Tokens, stalls: Stalls, *,
        buckets: tuple[str, ...],
    ) -> None:  # fmt: skip
        self._state = state
        self._faults = faults
        self._journal = journal
        self._tokens = tokens
        self._stalls = stalls
        self._buckets = buckets

    async def handle(self, call: Call) -> Answer:
        """Raises ApiError."""
        match call.method, call.segments:
            case "GET", ["log"]:
                return Answer.json({"requests": self._journal.to_json(), "peak_in_flight": self._journal.peak})
            case ("DELETE", ["log"]) | ("POST", ["log", "reset"]):
                self._journal.clear()
            case "GET", ["faults"]:
                return Answer.json({"faults": self._faults.installed()})
            case "POST", ["faults"]:
                fault = Fault.from_json(call.json())
                self._stalls.arm()
                return Answer.json({"id": self._faults.add(fault)})
            case "DELETE", ["faults"]:
                self._faults.remove()
            case "DELETE", ["faults", id] if id.isdecimal():
                self._faults.remove([int(id)])
            case "POST", ["release"]:
                self.release()
            case "GET", ["stalled"]:
                await self._stalls.wait(call.number("count") or 1)
            case "POST", ["tokens"]:
                asked = call.json().get("token")
                if asked is not None and not isinstance(asked, str):
                    raise ApiError(400, "token must be a string")
                return Answer.json({"token": self._tokens.issue(asked)})
            case "DELETE", ["tokens"]:
                self._tokens.revoke()
            case "POST", ["reset"]:
                self.reset()
            case "GET", ["state"]:
                return Answer.json(self.snapshot())
            case _:
                raise no_such_route("/_control/" + "/".join(call.segments))
        return Answer(204)

    def release(self) -> None:
        """Let every stalled request go on, and those to come until the next fault is installed."""
        self._stalls.release()

    def reset(self) -> None:
        """Back to how the server was started: its buckets empty, no faults, no log, no tokens."""
        self.release()
        self._faults.remove()
        self._state.clear()
        self._tokens.revoke()
        for name in self._buckets:
            self._state.create_bucket(name)
        self._journal.clear()

    def snapshot(self) -> dict[str, object]:
        """What is stored, and which uploads are unfinished."""
        sessions = [item for item in self._state.sessions.values() if item.result is None and not item.cancelled]
        return {
            "buckets": {
                name: {"objects": len(bucket.objects), "bytes": sum(item.size for item in bucket.objects.values())}
                for name, bucket in self._state.buckets.items()
            },
            "sessions": [{"bucket": item.bucket, "name": item.name, "bytes": item.content.size} for item in sessions],
            "multiparts": [
                {"bucket": item.bucket, "name": item.name, "parts": len(item.parts)}
                for item in self._state.multiparts.values()
            ],
            "in_flight": self._journal.in_flight,
            "stalled": self._stalls.held,
        }

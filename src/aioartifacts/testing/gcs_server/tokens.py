"""Access tokens for a service account that exists nowhere else."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from typing import Any
from urllib.parse import parse_qs

import msgspec

from .wire import Answer, ApiError

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME = 3600
"""Seconds for which a token is good."""


class Tokens:
    """Gives out bearer tokens for signed assertions, and knows which are still good.

    The assertion's claims are checked, its signature is not: any key will do.
    """

    def __init__(self) -> None:
        self._expiry: dict[str, float] = {}

    def grant(self, body: bytes) -> Answer:
        """Answer ``POST /token``."""
        form = {key: values[-1] for key, values in parse_qs(body.decode("latin-1")).items()}
        problem = "unsupported_grant_type" if form.get("grant_type") != _GRANT else _problem(form.get("assertion", ""))
        if problem is not None:
            return Answer.json({"error": problem, "error_description": "Not an assertion this server accepts."}, 400)
        token = self.issue()
        return Answer.json({"access_token": token, "expires_in": _LIFETIME - 1, "token_type": "Bearer"})

    def issue(self, token: str | None = None) -> str:
        token = token or f"fake.{secrets.token_urlsafe(24)}"
        self._expiry[token] = time.monotonic() + _LIFETIME
        return token

    def revoke(self) -> None:
        """Make every token given out so far useless."""
        self._expiry.clear()

    def check(self, authorization: str | None) -> None:
        """Raises ApiError: no good token."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and self._expiry.get(token, 0.0) > time.monotonic():
            return
        headers = [("WWW-Authenticate", 'Bearer realm="https://accounts.google.com/"')]
        raise ApiError(401, "Invalid Credentials", reason="authError", headers=headers)


def _problem(assertion: str) -> str | None:
    try:
        header, claims, _ = (_decode(part) for part in assertion.split("."))
    except ValueError:
        return "invalid_grant"
    if not isinstance(header, dict) or not isinstance(claims, dict) or header.get("alg") != "RS256":
        return "invalid_grant"
    now = time.time()
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        return "invalid_grant"
    if not (issued <= now + 300 and now < expires <= issued + 3600 + 300 and claims.get("iss") and claims.get("aud")):
        return "invalid_grant"
    return None if claims.get("scope") or claims.get("target_audience") else "invalid_scope"


def _decode(part: str) -> Any:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    return msgspec.json.decode(data) if data.startswith(b"{") else data


def service_account(url: str) -> dict[str, str]:
    """The contents of a service account key file whose tokens come from the server at *url*."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "type": "service_account",
        "project_id": "example",
        "private_key_id": secrets.token_hex(20),
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": "tester@example.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{url}/token",
    }

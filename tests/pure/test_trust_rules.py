"""Keys, signatures, and what may be decoded."""

from __future__ import annotations

import hashlib
import hmac
import pickle

import pytest

from aioartifacts.errors import InvalidConfigError, StoreError, UntrustedArtifactError
from aioartifacts.trust import KEY_MIN, Keyring, check_trust, keyring

ONE, TWO = b"1" * 32, b"2" * 40


def test_signature_is_hmac_sha256_under_the_first_key() -> None:
    expected = hmac.new(ONE, b"message", hashlib.sha256).hexdigest()
    assert keyring(ONE, [TWO]).sign(b"message") == expected
    assert keyring(lambda: ONE).sign(b"message") == expected


def test_any_key_verifies() -> None:
    signature = keyring(TWO).sign(b"m")
    assert keyring(ONE, [TWO]).verify(b"m", signature) is True
    assert keyring(TWO, [ONE]).verify(b"m", signature) is True
    assert keyring(ONE, [lambda: TWO]).verify(b"m", signature) is True
    assert keyring(ONE).verify(b"m", signature) is False
    assert keyring(TWO).verify(b"M", signature) is False


@pytest.mark.parametrize("signature", ["", "0" * 64, "ü", "\ud800", "0" * 63])
def test_nonsense_is_no_signature(signature: str) -> None:
    assert keyring(ONE).verify(b"m", signature) is False


def test_every_key_is_tried_so_that_time_tells_nothing() -> None:
    asked = []

    def key(name: str, value: bytes) -> object:
        return lambda: asked.append(name) or value

    keys = keyring(key("first", ONE), [key("second", TWO)])  # type: ignore[arg-type,list-item]
    assert keys.verify(b"m", keyring(ONE).sign(b"m"))
    assert asked == ["first", "second"]


def test_shortest_key() -> None:
    assert KEY_MIN == 32
    assert keyring(b"x" * 32)
    for bad in (b"x" * 31, b"", "x" * 32, bytearray(32), 7):
        for keys in ((bad, ()), (ONE, (bad,))):
            with pytest.raises(InvalidConfigError) as caught:
                keyring(*keys)  # type: ignore[arg-type]
            assert caught.value.message == "a signing key is bytes, 32 or more (secrets.token_bytes(32)), or a callable"


def test_callable_is_asked_when_needed_and_its_answer_checked() -> None:
    keys = keyring(lambda: b"short")
    with pytest.raises(InvalidConfigError, match="a signing key is bytes"):
        keys.sign(b"m")
    with pytest.raises(InvalidConfigError, match="a signing key is bytes"):
        keys.verify(b"m", "0" * 64)


@pytest.mark.parametrize("given", [{TWO}, TWO, "k" * 32], ids=lambda given: type(given).__name__)
def test_several_keys_are_no_single_one(given: object) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        keyring(ONE, given)  # type: ignore[arg-type]
    assert caught.value.message == f"verification_keys is several keys, a tuple for example, not a {type(given).__name__}"


def test_key_that_cannot_be_had() -> None:
    def missing() -> bytes:
        raise KeyError("KEY")

    with pytest.raises(StoreError) as caught:
        keyring(missing).sign(b"m")
    assert caught.value.message == "a signing key could not be had: KeyError; see what caused this"
    assert isinstance(caught.value.__cause__, KeyError)


def test_no_keys() -> None:
    assert not keyring(None)
    assert not Keyring()
    assert keyring(ONE)
    assert keyring(None) == Keyring()
    with pytest.raises(InvalidConfigError) as caught:
        keyring(None, [ONE])
    assert caught.value.message == ("verification_keys= needs signing_key= as well: what is saved here must be signed")


def test_keys_are_shown_nowhere_and_not_pickled() -> None:
    assert repr(keyring(ONE, [TWO])) == "Keyring()"
    assert pickle.loads(pickle.dumps(Keyring())) == Keyring()
    with pytest.raises(InvalidConfigError) as caught:
        pickle.dumps(keyring(ONE))
    assert caught.value.message == (
        "a store with signing keys is not pickled, so that keys never end up in files or queues; "
        "build the store anew in the other process"
    )


@pytest.mark.parametrize(
    ("trust", "safe", "signed", "answer"),
    [
        ("all", False, False, True), ("all", True, False, True), ("all", False, True, True),
        ("signed", False, True, True), ("signed", True, True, True), ("signed", True, False, False), ("signed", False, False, None),
        ("data", True, True, False), ("data", True, False, False), ("data", False, True, None), ("data", False, False, None),
    ],
)  # fmt: skip
def test_what_may_be_decoded(trust: str, safe: bool, signed: bool, answer: bool | None) -> None:
    arguments = {"path": "a/b", "format": "pickle", "safe": safe, "signature_valid": signed, "trust": trust}
    if answer is not None:
        assert check_trust(**arguments) is answer  # type: ignore[arg-type]
        return
    with pytest.raises(UntrustedArtifactError) as caught:
        check_trust(**arguments)  # type: ignore[arg-type]
    error = caught.value
    assert (error.path, error.format) == ("a/b", "pickle")
    assert (
        error.message
        == {
            "signed": "'a/b' is in format 'pickle', decoding it can run code, and its record carries no valid signature of this store's "
            "keys. Save it again from a store with the key; or, if you trust whoever wrote it, open the store with trust='all'",
            "data": "'a/b' is in format 'pickle', and decoding it can run code. If you trust whoever can write to this store, open it with "
            "trust='all'; or sign what you save, with signing_key=… on both sides",
        }[trust]
    )

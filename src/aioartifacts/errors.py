"""The error tree: every failure that leaves the library is one of these.

::

    ArtifactError                       .path .operation
    ├── InvalidPathError                also ValueError
    ├── InvalidConfigError              also ValueError
    ├── ArtifactNotFoundError           also FileNotFoundError
    ├── ArtifactExistsError             also FileExistsError
    ├── ConflictError
    ├── IntegrityError                  .expected .actual
    │   └── RecordError
    ├── UntrustedArtifactError          .format
    ├── MetadataError                   also ValueError
    ├── MaterializerError
    │   ├── EncodeError
    │   ├── DecodeError
    │   ├── UnknownFormatError
    │   └── MissingDependencyError      .install; also ImportError
    └── StoreError
        ├── TransientStoreError         .retry_after
        └── PermissionDeniedError       also PermissionError

A message says what happened, to which path, and what to do next. Every error pickles.
"""

from __future__ import annotations

from typing import Any


class ArtifactError(Exception):
    """Base of every error the library raises on purpose.

    Attributes:
        path: the artifact path it is about, or the object's key where an object store is used alone; None when there is none.
        operation: the verb that failed (``"save"``, ``"load_many"``, …), or that of an object store used alone (``"put"``).
    """

    def __init__(self, message: str, *, path: str | None = None, operation: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.operation = operation

    def __str__(self) -> str:
        # OSError and ImportError, mixed in below, would print their own fields instead of the message.
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # `path` by name, because ImportError keeps an attribute of that name outside of __dict__.
        state = {**self.__dict__, "path": self.path, "__notes__": list(getattr(self, "__notes__", ()))}
        return (_rebuild, (type(self), state))


class Telling:
    """Has every error that leaves the block tell this verb, whatever lies below called what it did."""

    __slots__ = ("operation", "path")

    def __init__(self, operation: str, path: str | None = None) -> None:
        """*path* is for errors that tell none."""
        self.operation = operation
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, cls: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ArtifactError):
            error.operation = self.operation
            error.path = error.path or self.path


def _rebuild(cls: type[ArtifactError], state: dict[str, Any]) -> ArtifactError:
    error = cls.__new__(cls)
    error.args = (state["message"],)
    if not state["__notes__"]:
        del state["__notes__"]
    for name, value in state.items():
        setattr(error, name, value)
    return error


class InvalidPathError(ArtifactError, ValueError):
    """The name is not a legal artifact path, or points outside the store."""


class InvalidConfigError(ArtifactError, ValueError):
    """A constructor argument, a bucket name or a URL cannot be used."""


class ArtifactNotFoundError(ArtifactError, FileNotFoundError):
    """No artifact has that path, or a part of it is gone."""


class ArtifactExistsError(ArtifactError, FileExistsError):
    """The artifact exists already and was not to be overwritten."""


class ConflictError(ArtifactError):
    """Somebody else replaced the artifact while this call was at work."""


class IntegrityError(ArtifactError):
    """What was read is not what was written.

    Attributes:
        expected: the size or digest that was recorded.
        actual: the size or digest that was found.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        operation: str | None = None,
        expected: object = None,
        actual: object = None,
    ) -> None:
        super().__init__(message, path=path, operation=operation)
        self.expected = expected
        self.actual = actual


class RecordError(IntegrityError):
    """The record cannot be read, or was written by a newer version."""


class UntrustedArtifactError(ArtifactError):
    """Decoding the artifact can run code, and this store does not trust it.

    Attributes:
        format: the recorded format that was refused.
    """

    def __init__(
        self, message: str, *, path: str | None = None, operation: str | None = None, format: str | None = None
    ) -> None:
        super().__init__(message, path=path, operation=operation)
        self.format = format


class MetadataError(ArtifactError, ValueError):
    """User metadata does not survive a JSON round trip."""


class MaterializerError(ArtifactError):
    """Base of what can go wrong between an object and its parts."""


class EncodeError(MaterializerError):
    """The object could not be turned into parts."""


class DecodeError(MaterializerError):
    """The parts could not be turned back into an object."""


class UnknownFormatError(MaterializerError):
    """No registered materializer reads or writes that format."""


class MissingDependencyError(MaterializerError, ImportError):
    """A package that the format needs is not installed; the message carries the pip line.

    Attributes:
        install: what to give to ``pip install``.
    """

    def __init__(
        self, message: str, *, path: str | None = None, operation: str | None = None, install: str | None = None
    ) -> None:
        super().__init__(message, path=path, operation=operation)
        self.install = install


class StoreError(ArtifactError):
    """The back end failed."""


class TransientStoreError(StoreError):
    """The back end failed in a way that trying again may mend.

    Attributes:
        retry_after: seconds the back end asked us to wait, when it said so.
        refused: whether the back end is sure to have done nothing; otherwise it may have done what was asked, or may yet.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        operation: str | None = None,
        retry_after: float | None = None,
        refused: bool = False,
    ) -> None:
        super().__init__(message, path=path, operation=operation)
        self.retry_after = retry_after
        self.refused = refused


class PermissionDeniedError(StoreError, PermissionError):
    """The back end refused access."""

"""Objects as files below one folder of a local disk."""

from aioartifacts.objects.local.store import LocalObjectStore

__all__ = ["LocalObjectStore"]

"""What the tests of the local store have in common."""

from __future__ import annotations

import os

from aioartifacts.objects.base import Buffers
from aioartifacts.objects.local import posix

KEY = "project/run/model/metadata.json"
WALKS = {"openat2": posix._open_at_once, "stepwise": posix._open_stepwise}


def put(store, key, data=b"data", **options):
    return store.put(key, Buffers(data), **options)


def files(root):
    """Every file below *root* but for locks, relative to it."""
    found = {os.path.relpath(os.path.join(folder, f), root) for folder, _, names in os.walk(root) for f in names}
    return {name for name in found if not name.startswith(".aioartifacts/locks/")}

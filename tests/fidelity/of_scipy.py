"""A subclass of a sparse array."""

from __future__ import annotations

import scipy.sparse as sp  # type: ignore[import-untyped]


class Labelled(sp.csr_array):  # type: ignore[misc]
    pass

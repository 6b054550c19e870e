"""A subclass of a graph."""

from __future__ import annotations

import networkx as nx  # type: ignore[import-untyped]


class Labelled(nx.Graph):  # type: ignore[misc]
    pass

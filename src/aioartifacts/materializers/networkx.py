"""NetworkX graphs, as typed JSON of their own dictionaries: nodes, neighbours and attributes, in their order.

A node ``3`` is not a node ``"3"``, edge data that both ends share stay shared, and every neighbour list keeps its order, which
the order of edges alone does not tell. Attributes may be whatever typed JSON can hold; a graph with others is declined.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import networkx as nx  # type: ignore[import-untyped]

from aioartifacts.materializers.base import Declined, Dump, Materializer, Parts
from aioartifacts.materializers.typed_json import decode, encode
from aioartifacts.types import JSON

_CLASSES: Mapping[str, Any] = {cls.__name__: cls for cls in (nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph)}


class GraphMaterializer(Materializer):
    """Exact ``Graph``, ``DiGraph``, ``MultiGraph`` and ``MultiDiGraph``, frozen ones included; no views, no subclasses."""

    name = "networkx"
    format = "networkx"
    safe = True
    packages = ("networkx",)

    def accepts(self, obj: object) -> bool:
        return type(obj) in _CLASSES.values()

    def dump(self, obj: object) -> Dump:
        graph: Any = obj
        frozen = _check_state(graph)
        content: dict[str, Any] = {
            "class": type(graph).__name__,
            "frozen": frozen,
            "graph": graph.graph,
            "nodes": graph._node,
            "neighbours": graph._adj,
        }
        if graph.is_directed():
            content["predecessors"] = graph._pred
        _check_structure(graph)
        return encode(content, plain=False)

    def load(self, parts: Parts) -> object:
        content = decode(parts)
        if type(content) is not dict or type(content.get("class")) is not str or content["class"] not in _CLASSES:
            raise ValueError("not a graph of a known class")
        graph = _CLASSES[content["class"]]()
        fields = [content.get(name) for name in ("graph", "nodes", "neighbours")]
        graph.graph, graph._node, graph._adj = fields
        if graph.is_directed():
            graph._pred = content.get("predecessors")
        try:
            _check_structure(graph)
        except Declined as error:
            raise ValueError(f"the graph is not consistent: {error}") from None
        return nx.freeze(graph) if content.get("frozen") is True else graph

    def summary(self, obj: object) -> Mapping[str, JSON]:
        graph: Any = obj
        return {
            "class": type(graph).__name__,
            "nodes": graph.number_of_nodes(),
            "edges": graph.number_of_edges(),
            "directed": graph.is_directed(),
            "multigraph": graph.is_multigraph(),
        }


def _check_state(graph: Any) -> bool:
    """Whether the graph is frozen.

    Raises:
        Declined: it has attributes of its own.
    """
    fresh = type(graph)()
    cached = {
        name for cls in type(graph).__mro__ for name, value in vars(cls).items() if isinstance(value, cached_property)
    }
    beyond = vars(graph).keys() - vars(fresh).keys() - cached
    frozen = beyond == vars(nx.freeze(fresh)).keys() - vars(type(graph)()).keys() and graph.frozen is True
    if beyond and not frozen:
        raise Declined(f"the graph carries attributes of its own: {sorted(beyond)[0]!r}")
    return frozen


def _check_structure(graph: Any) -> None:
    """Raises `Declined` when the dictionaries do not make a graph, whoever made them."""
    directed = graph.is_directed()
    if type(graph.graph) is not dict:
        raise Declined("its own attributes are not in a dict")
    back = graph._pred if directed else graph._adj
    for table in (graph._node, graph._adj, back):
        if type(table) is not dict or not all(type(value) is dict for value in table.values()):
            raise Declined("it is a view, or made of other mappings than dict")
        if len(table) != len(graph._node) or any(node not in graph._node for node in table):
            raise Declined("nodes and neighbours do not agree")
    edges = 0
    for node, neighbours in graph._adj.items():
        for other, data in neighbours.items():
            edges += 1
            if back.get(other, {}).get(node) is not data:
                raise Declined(f"the edge from {node!r:.80} to {other!r:.80} is not the same at its other end")
            if type(data) is not dict:
                raise Declined("edge data are not in a dict")
            if graph.is_multigraph() and not (data and all(type(value) is dict for value in data.values())):
                raise Declined("edge data are not in a dict")
    if directed and edges != sum(map(len, back.values())):
        raise Declined("successors and predecessors do not agree")

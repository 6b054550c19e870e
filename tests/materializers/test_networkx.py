"""NetworkX graphs come back with the same nodes, order, attributes and class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx  # type: ignore[import-untyped]
import pytest
from parts import elsewhere, load, roundtrip

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.networkx import GraphMaterializer

NX = GraphMaterializer()


def with_attributes() -> Any:
    graph = nx.Graph(name="g", größe=(1, 2.5, None))
    graph.add_node(3, tags={"a", "b"}, when=None)
    graph.add_node("3", weight=float("-inf"))
    graph.add_edge(3, "3", weight=0.1, path=[1, (2, 3)], data=b"\0\xff")
    return graph


def odd_order() -> Any:
    graph = nx.Graph()
    graph.add_nodes_from("dcba")
    graph.add_edges_from([("a", "d"), ("a", "b"), ("c", "b"), ("d", "b"), ("d", "c")])
    graph.remove_edge("a", "d")
    graph.add_edge("d", "a")
    return graph


def multi(cls: Any) -> Any:
    graph = cls()
    graph.add_edge(1, 2, key="x", weight=1)
    graph.add_edge(1, 2, key=7)
    graph.add_edge(2, 1, weight=2)
    graph.add_edge(2, 2)
    return graph


def shared() -> Any:
    things = [1]
    graph = nx.DiGraph()
    graph.add_node("a", things=things)
    graph.add_node("b", things=things)
    return graph


GRAPHS: dict[str, Callable[[], Any]] = {
    "empty": nx.Graph,
    "attributes, 3 and '3'": with_attributes,
    "order of neighbours": odd_order,
    "self loops": lambda: nx.DiGraph([(1, 1), (2, 1), (1, 2)]),
    "tuples and floats as nodes": lambda: nx.Graph([((0, 1), 2.5), (frozenset([1]), (0, 1))]),
    "an equal number at the other end": lambda: nx.Graph([(1, 2), (3, 1.0)]),
    "multigraph": lambda: multi(nx.MultiGraph),
    "directed multigraph": lambda: multi(nx.MultiDiGraph),
    "shared attribute": shared,
    "frozen": lambda: nx.freeze(nx.path_graph(3)),
    "karate": nx.karate_club_graph,
    "large": lambda: nx.gnm_random_graph(400, 3000, seed=1, directed=True),
}


def exact(value: Any) -> Any:
    """What can be compared with ``==``, and then means the same types and order too."""
    if isinstance(value, dict):
        return "dict", [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [exact(item) for item in value]
    return type(value), value


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_is_exact(name: str) -> None:
    graph = GRAPHS[name]()
    assert NX.accepts(graph)
    back = roundtrip(NX, graph, trusted=False)
    assert type(back) is type(graph)
    assert exact(back.graph) == exact(graph.graph)
    assert exact(back._node) == exact(graph._node)
    assert exact(back._adj) == exact(graph._adj)
    assert nx.is_frozen(back) == nx.is_frozen(graph)
    assert list(back.edges) == list(graph.edges)
    if graph.is_directed():
        assert exact(back._pred) == exact(graph._pred)


def test_edge_data_are_the_same_at_both_ends() -> None:
    back = roundtrip(NX, nx.Graph([(1, 2)]))
    back[1][2]["weight"] = 5
    assert back[2][1]["weight"] == 5


def test_shared_attribute_stays_shared() -> None:
    back = roundtrip(NX, shared())
    assert back.nodes["a"]["things"] is back.nodes["b"]["things"]


def test_loaded_graph_can_be_changed() -> None:
    back = roundtrip(NX, nx.DiGraph([(1, 2)]))
    back.add_edge(2, 3)
    assert list(back.successors(2)) == [3]
    assert list(back.predecessors(3)) == [2]


def own_attribute() -> Any:
    graph = nx.Graph()
    graph.extra = 1
    return graph


@pytest.mark.parametrize(
    "graph",
    [
        own_attribute(),
        nx.Graph([(1, 2, {"weight": object()})]),
        nx.subgraph_view(nx.path_graph(3)),
        nx.path_graph(3).to_directed(as_view=True),
    ],
    ids=["own attribute", "object", "subgraph", "view"],
)
def test_what_cannot_be_held_is_declined(graph: Any) -> None:
    with pytest.raises(Declined):
        NX.dump(graph)


def test_subclass_is_not_accepted() -> None:
    class Mine(nx.Graph):  # type: ignore[misc]
        pass

    assert not NX.accepts(Mine())


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"[]",
        b'{"class":"Graph","graph":{},"nodes":{"a":{}},"neighbours":{}}',
        b'{"class":"Graph","graph":{},"nodes":{"a":{},"b":{}},"neighbours":{"a":{"b":{}},"b":{}}}',
        b'{"class":"Graph","graph":{},"nodes":{"a":{},"b":{}},"neighbours":{"a":{"b":{}},"b":{"a":{}}}}',
        b'{"class":"Graph","graph":{},"nodes":{"a":{}},"neighbours":{"a":{"c":{}}}}',
        b'{"class":"Graph","graph":{},"nodes":3,"neighbours":{}}',
        b'{"class":"DiGraph","graph":{},"nodes":{},"neighbours":{}}',
        b'{"class":"OrderedGraph","graph":{},"nodes":{},"neighbours":{}}',
        b'{"class":"MultiGraph","graph":{},"nodes":{"a":{}},"neighbours":{"a":{"a":{"k":1}}}}',
    ],
)
def test_hostile_text_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="graph"):
        load(NX, {"data.json": text}, {"tagged": True}, trusted=False)


def test_summary_counts() -> None:
    assert NX.summary(nx.DiGraph([(1, 2), (2, 3)])) == {
        "class": "DiGraph", "nodes": 3, "edges": 2, "directed": True, "multigraph": False
    }  # fmt: skip


def test_loads_in_a_fresh_process(tmp_path: Path) -> None:
    told = elsewhere(NX, with_attributes(), "list(back.nodes), back.edges[3, '3']['path']", tmp_path)
    assert told == "[3, '3'] [1, (2, 3)]"

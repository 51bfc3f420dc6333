"""Reads a GraphML export of a namespace with networkx and prints what it finds as one JSON line.

usage: graph.py FILE

{"directed", "nodes": {label: kind}, "edges": [[subject, predicate, object, data]], "path"}: path are
the labels along a shortest way from the first to the last entity, directions aside, or null.
"""

import json
import sys

import networkx


def main(file: str) -> None:
    graph = networkx.read_graphml(file, force_multigraph=True)
    label = dict(graph.nodes(data="label"))
    edges = [
        [label[subject], data["label"], label[target], data]
        for subject, target, data in graph.edges(data=True)
    ]
    entities = [node for node, kind in graph.nodes(data="kind") if kind == "entity"]
    undirected = graph.to_undirected()
    path = None
    if entities and networkx.has_path(undirected, entities[0], entities[-1]):
        path = [label[node] for node in networkx.shortest_path(undirected, entities[0], entities[-1])]
    found = {
        "directed": graph.is_directed(),
        "nodes": {data["label"]: data["kind"] for _, data in graph.nodes(data=True)},
        "edges": sorted(edges, key=lambda edge: edge[:3]),
        "path": path,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

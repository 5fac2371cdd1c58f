"""The files in which a GraphNNCLR run keeps its graphs."""

STREAMS = ("teacher", "student")


NODES_FILE = "graph/nodes.parquet"


GRAPH_FILES = (
    NODES_FILE,
    *(f"graph/{name}" for stream in STREAMS for name in (f"graph-{stream}.parquet", f"bank-{stream}.npy")),
)

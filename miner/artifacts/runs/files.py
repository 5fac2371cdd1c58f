"""Names of the files of a run, without torch."""

BACKBONE_FILE = "backbone.safetensors"
BEST_FILE = "backbone-best.safetensors"
DESCRIPTION_FILE = "config.json"
PROJECTOR_FILE = "projector.safetensors"
TEACHER_FILE = "teacher.safetensors"

# A GraphNNCLR run keeps a graph and a bank of features of its teacher and of its student.
STREAMS = ("teacher", "student")
NODES_FILE = "graph/nodes.parquet"
GRAPH_FILES = (
    NODES_FILE,
    *(f"graph/{name}" for stream in STREAMS for name in (f"graph-{stream}.parquet", f"bank-{stream}.npy")),
)

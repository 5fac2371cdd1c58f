"""Names of the files of a run, without torch."""

BACKBONE_FILE = "backbone.safetensors"
BEST_FILE = "backbone-best.safetensors"
DESCRIPTION_FILE = "config.json"
PROJECTOR_FILE = "projector.safetensors"
TEACHER_FILE = "teacher.safetensors"

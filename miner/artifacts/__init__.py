"""Who reads and writes each folder of a workspace: paths, manifests, tables. Stages meet here and nowhere else."""

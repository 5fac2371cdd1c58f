"""Who reads and writes each folder of a workspace: paths, manifests, tables. Stages exchange data through these files alone."""

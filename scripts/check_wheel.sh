#!/usr/bin/env bash
# The whole journey with the wheel, in an environment of its own and outside of the checkout. The dependencies are those of .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
place=$(mktemp -d)
trap 'rm -rf "$place" build' EXIT
.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$place" .
.venv/bin/python -m venv --without-pip "$place/venv"
echo "$packages" > "$("$place/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dependencies.pth"
.venv/bin/python -m pip --python "$place/venv/bin/python" install --quiet --disable-pip-version-check --no-deps --no-index "$place"/*.whl
cd "$place"
unset PYTHONPATH
export PATH=$place/venv/bin:$PATH
python -c 'import miner, sys; sys.exit(not miner.__file__.startswith(sys.prefix) and f"miner comes from {miner.__file__}")'
miner run demo -w journey --set embed.limit=400 --set train.epochs=1
miner verify journey
miner publish -w journey --license cc-by-4.0 --image-license mit --to published
miner similar -w journey "$(python -c 'import miner; print(miner.open("journey").embeddings.keys[0])')"
python -c 'import miner; print(len(miner.open("journey").pairs), "pairs from Python")'

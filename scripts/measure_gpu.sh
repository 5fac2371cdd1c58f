#!/bin/bash
# All that a GPU must tell, in at most 12 minutes: scripts/measure_gpu.sh OUT [--device cpu] [--tiny] [--only PART]
#
# Needs the project with its extra `dev` (make develop; PYTHON names the interpreter), and nothing from a network. Used where present:
# FlashLib (pip install flashlib), and CIFAR-10 for the last part. Each part has its own time limit and its own record, OUT/PART.json:
#
#   tests       tests/gpu
#   join-50k    the Triton join of 50,000 x 1,280 vectors against torch and FlashLib
#   join-1m     the same for 1,280,000 x 768
#   embed       images per second, and the share of the peak
#   train-32    items per second of every method against lightly, at 32 pixels
#   train-224   the same at 224 pixels
#   moco        MoCo on CIFAR-10 with kNN after each epoch, in the time that is left; called again with the same OUT, it continues
set -u
cd "$(dirname "$0")/.."
out=${1:?usage: scripts/measure_gpu.sh OUT [--device cpu] [--tiny] [--only PART]}
shift
device=cuda tiny= only=
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=$2; shift ;;
    --tiny) tiny=yes ;;
    --only) only=$2; shift ;;
    *) echo "unknown: $1" >&2; exit 2 ;;
  esac
  shift
done
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
mkdir -p "$out/records"
out=$(realpath "$out")
end=$((SECONDS + 700))

part() { # NAME SECONDS [--keep FILE] -- COMMAND
  if [ -z "$only" ] || [ "$only" = "$1" ]; then "$python" tests/bench/part.py "$out" "$@"; fi
}

photos=$out/photos
if [ -n "$tiny" ]; then
  images=64 join50k="--images 2000 --dim 64" join1m="--images 3000 --dim 48 --min 0.9"
  embed="--images 16 --slow-images 8 --encoders efficientnet_lite0 timm:test_vit --repeats 1 --peak-side 256"
  train="--images 64 --batch-size 16 --warm-up 1 --steps 1 --seconds 0 --loader-workers 0 --methods moco"
  train224=$train
  moco="--source sample --limit 64 --epochs 1 --batch-size 16"
else
  images=12800 join50k="--images 50000 --dim 1280" join1m="--images 1280000 --dim 768 --repeats 1"
  embed="--images 8192 --slow-images 8192 --encoders efficientnet_lite0 resnet50 timm:vit_small_patch16_224 --repeats 2 --peak-side 8192"
  methods="moco simclr simsiam byol vicreg barlow dino nnclr graphnnclr"
  train="--images 12800 --batch-size 256 --warm-up 5 --seconds 0.7 --loader-workers $(nproc) --methods $methods"
  train224="$train --batch-size 128"
  moco="--source cifar10 --epochs 200 --batch-size 512"
fi
[ -z "$only" ] || [[ $only == embed || $only == train-* ]] && "$python" tests/bench/photos.py --to "$photos" --images $images

part tests 120 -- "$python" -m pytest -q -p no:cacheprovider --no-header -rfE tests/gpu
part join-50k 45 --keep "$out/records/join-50k.json" -- "$python" tests/bench/gpu_join.py $join50k --device "$device" --out "$out/records/join-50k.json"
part join-1m 120 --keep "$out/records/join-1m.json" -- "$python" tests/bench/gpu_join.py $join1m --device "$device" --out "$out/records/join-1m.json"
part embed 100 -- "$python" tests/bench/embed.py --sources "$photos" $embed --plain-repeats 0 --device "$device" --name embed
part train-32 100 -- "$python" tests/bench/train.py --source "$photos" --side 32 --stems cifar $train --turns 1 --quick --device "$device" --name train-32
part train-224 120 -- "$python" tests/bench/train.py --source "$photos" --side 224 --stems imagenet $train224 --turns 1 --quick --device "$device" --name train-224
left=$((end - SECONDS))
part moco $((left > 20 ? left : 20)) --keep "$out/moco/runs/moco/metrics.jsonl" -- "$python" -m miner train \
  --config pipelines/recipes/cifar10/moco.yaml $moco --knn-epochs 1 --checkpoint-steps 100 --device "$device" --workspace "$out/moco"

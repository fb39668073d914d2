#!/bin/sh
# What the image runs. SageMaker starts `<image> serve`, with a model of its own where it unpacked one, and `<image> train`.
# Every way ends in exec: the signals that stop a container reach binsight itself.
set -eu

# The CUDA libraries of the GPU variant come from wheels, where the loader does not look.
for folder in /opt/binsight/lib/python*/site-packages/nvidia/*/lib; do
  [ -d "$folder" ] && export LD_LIBRARY_PATH="$folder:${LD_LIBRARY_PATH:-}"
done

# With a recipe behind it, train is the command; alone it is SageMaker's training job, which finds all in /opt/ml.
[ "$*" != train ] || exec python -m binsight.engines.container train

[ "${1:-serve}" = serve ] || exec binsight "$@"
[ $# -eq 0 ] || shift

# SAGEMAKER_BASE_DIR moves the root for tests, as it does in AWS's own toolkit.
root=${SAGEMAKER_BASE_DIR:-/opt/ml}
model=$root/model
# Whoever reaches a container on SageMaker has been let in by AWS. Anywhere else the service asks for keys, and does not
# begin without any, unless BINSIGHT_ACCESS says otherwise.
if [ -d "$root" ] && [ -z "${BINSIGHT_ACCESS:-}" ]; then
  export BINSIGHT_ACCESS=open
fi
if [ -z "${BINSIGHT_MODEL:-}" ] && [ -n "$(ls -A "$model" 2>/dev/null)" ]; then
  if [ ! -f "$model/bundle.json" ]; then
    echo "error: $model holds files, but no bundle.json, so it is no bundle; put a bundle's files at the root of model.tar.gz" >&2
    exit 1
  fi
  export BINSIGHT_MODEL="$model"
fi
exec binsight serve --host 0.0.0.0 --port 8080 --json "$@"

#!/bin/sh
# Install Binsight's service into a new virtual environment: deploy/install.sh FOLDER [cpu | gpu | train | ray]
# The Dockerfile runs this; so does a test, in a folder of its own.
set -eu
cd "$(dirname "$0")/.."
folder=$1
variant=${2:-cpu}

pip_install() { python3 -m pip --python "$folder/bin/python" install --quiet --no-cache-dir --disable-pip-version-check -c constraints.txt "$@"; }

python3 -m venv --without-pip "$folder" # what runs needs no installer
pip_install '.[serve,postgres]'

case $variant in
cpu) ;;
train) pip_install '.[train]' ;; # for training and processing jobs; it serves too
ray) pip_install '.[ray-serve]' ;; # for deploy/kuberay: batches and replicas on a Ray cluster
gpu) # The same module with other insides, in the same folder: one has to go before the other comes.
  version=$("$folder/bin/python" -c 'from importlib.metadata import version; print(version("onnxruntime"))')
  python3 -m pip --python "$folder/bin/python" uninstall --quiet --yes onnxruntime
  pip_install "onnxruntime-gpu[cuda,cudnn]<=$version" # it appears later than the other, if at all
  ;;
*)
  echo "error: the variant must be cpu, gpu, train or ray, but is $variant" >&2
  exit 2
  ;;
esac

"""Our image inside SageMaker's jobs: everything is derived from the tree below /opt/ml, as the platform lays it out.

python -m binsight.engines.container train       # what `<image> train` runs
python -m binsight.engines.container evaluate    # a processing job between training and promotion
"""

"""Where steps and the service run when they do not run here.

```
ray          shards of batches, replicas of the service and trials of a search, on a Ray cluster of this machine or of many
container    what our image does inside SageMaker's training and processing jobs: an /opt/ml tree in, artifacts out
sagemaker    what is asked of AWS from outside: a plan of calls, the jobs, the pipeline, the template of it all
```
Both sides meet in plain data: names of channels, of hyperparameters and of metrics (`contract`).
"""

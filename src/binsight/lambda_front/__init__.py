"""A function for AWS Lambda in front of the counting service: `binsight.lambda_front.handler`.

```
event ─▶ events: what is asked ─▶ backends: a SageMaker endpoint, or a service over HTTP ─▶ events: the answer's shape
```
The room needs nothing but the errors and what Lambda's own Python has (boto3, urllib3), so that what is uploaded is a
few small files (`pack`).
"""

from binsight.lambda_front.front import handler

__all__ = ["handler"]

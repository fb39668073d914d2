"""Counting by a service elsewhere: `Client` and `AsyncClient`, which differ in how they wait and in nothing else.

```
photo ─▶ asking (what is sent) ─▶ exchange (tries, waits, deadline) ─▶ answers (frozen values, or an error of the tree)
```
The room stands on records and errors alone, so that what asks a service needs nothing of what counts.
"""

from binsight.client.answers import Answer, Model, Timing
from binsight.client.asking import Photo
from binsight.client.clients import AsyncClient, Client
from binsight.client.exchange import Patience

__all__ = ["Answer", "AsyncClient", "Client", "Model", "Patience", "Photo", "Timing"]

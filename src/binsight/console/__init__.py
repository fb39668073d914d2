"""The console: pages on which people count blind, decide and see what became of audits, as a part of `binsight serve`.

```
request ─▶ Headers (CSP …) ─▶ signed in? role? CSRF? ─▶ page ─▶ ledger
```
Pages are forms first and work without scripts.
"""

from binsight.console.later import add_console

__all__ = ["add_console"]

"""From one model to the next: compare on a frozen set, decide, promote.

```
promotion set ─┐
champion ──────┼─▶ compare ─▶ Comparison ─▶ decide ─▶ PromotionDecision ─▶ page, record, ledger ─▶ promote or keep
challenger ────┘
```
"""

"""From one model to the next: compare on a frozen set, decide, promote.

```
promotion set ─┐
champion ──────┼─▶ compare ─▶ Comparison ─▶ decide ─▶ PromotionDecision ─▶ page, record, ledger ─▶ promote or keep
challenger ────┘
```
`retrain.py` goes the whole way, from counted bins to that decision, by the steps in `steps.py`.
"""

"""A recipe for tests, and a search: a tiny network on small photos, seconds an epoch."""

RECIPE = """
name = "tiny"
seed = 3
[data]
dataset = "{dataset}"
[data.preprocessing]
size = 48
fit = "squash"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[model]
backbone = "timm:lcnet_035"
dropout = 0.1
soft_sigma = 0.6
[training]
epochs = 2
batch_size = 16
lr = 2e-3
precision = "fp32"
ema_decay = 0.9
"""

SEARCH = """
name = "small"
[data]
dataset = "{dataset}"
preprocessing = {{ size = 32, fit = "squash", mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] }}
[model]
backbone = "timm:lcnet_035"
flip_average = false
[training]
epochs = 2
precision = "fp32"
[search]
trials = {trials}
pruner = "none"
[search.fields]
"training.lr" = {{ low = 1e-4, high = 1e-2, log = true }}
"""
"""And a search by it, of so many trials."""

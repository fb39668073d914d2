"""A recipe for tests: a tiny network on small photos, seconds an epoch."""

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

"""From a source of photos and records to an immutable, split dataset: fetch, inspect, prepare."""

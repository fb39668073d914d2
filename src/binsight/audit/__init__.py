"""From stock records and photos to verdicts, and to the bins that people should count."""

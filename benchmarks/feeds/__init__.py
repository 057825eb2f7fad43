"""Benchmarks of what feeds a training: batches, loaders, frameworks."""

"""Targets of a dataset's examples: classes, texts, numbers, multi-hot vectors, frames and events in time."""

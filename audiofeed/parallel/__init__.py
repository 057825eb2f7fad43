"""Batches on the cores of a CPU: threads, parts of a batch, and whether somebody else wants the cores."""

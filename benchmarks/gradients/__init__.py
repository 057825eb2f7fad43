"""Time, error and memory of gradients that go through transforms."""

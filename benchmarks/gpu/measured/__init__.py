"""What the GPU smoke times and counts: features, constant Q, launches, a training step; and its peers."""

"""What is chosen by cost, in float64 NumPy: tiles, blocks, levels and shared bins.

A plan changes how long a feature takes, never which feature it is."""

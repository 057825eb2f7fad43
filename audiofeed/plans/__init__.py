"""Plans: tiles, blocks, levels and shared bins, chosen by cost, in float64 NumPy.

A plan changes how long a feature takes, never which feature it is."""

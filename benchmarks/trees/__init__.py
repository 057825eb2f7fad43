"""Two trees of the repository timed against each other: rows, the process of one tree, and what the ratios say."""

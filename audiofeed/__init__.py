"""audiofeed: train audio models straight from raw files."""

"""What `benchmarks/feeds.py` measures: the files, the feeds of every library, and their rates and memory."""

"""What the processes that read one dataset share: counts of draws, decoded clips, memory that leaves nothing behind."""

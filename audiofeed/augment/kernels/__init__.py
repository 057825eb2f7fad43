"""Machine code for augmentations on a CPU: what is done to a clip is done while it lies in a core's cache."""

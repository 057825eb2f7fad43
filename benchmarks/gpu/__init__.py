"""What `benchmarks/gpu_smoke.py` checks and measures, one idea per module."""

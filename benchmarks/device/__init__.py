"""What a call does on a CUDA device, without one: `fake_cuda` watches it, `calls` lists calls, `counts` counts."""

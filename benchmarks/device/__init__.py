"""What a call does on a CUDA device, without one: `fake_cuda` watches, `calls` lists what is called, `counts` counts."""

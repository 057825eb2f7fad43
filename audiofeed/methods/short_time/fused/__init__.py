"""Short-time features on a GPU in one kernel, from samples to (logarithms of) filters of powers.

In CUDA: `cuda_layout` takes a frame apart, `cuda_fourier` writes the transforms in registers, `cuda_filters` lays out
the weights of filters, `frames.cu` is the kernel, `cuda_text` its text for some settings, `nvrtc` compiles and loads
it, `cuda_launch` is its operator, and `self_check` compares it with torch's FFT before its first use.

In Triton: `layout` takes a frame apart and holds the tables, `triton_kernel` is the kernel, and `launch` its operator.

`kept` keeps what both make of filters.
"""

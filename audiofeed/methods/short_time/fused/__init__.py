"""Short-time features on a GPU in one Triton kernel, from samples to (logarithms of) filters of powers.

`layout` takes a frame apart and holds the tables, `triton_kernel` is the kernel, and `launch` its operator.
"""

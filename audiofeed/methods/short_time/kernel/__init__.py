"""Short-time features on a CPU by machine code that is made for them when they are first asked for.

A library's FFT, the squares, the filters and the logarithm are four walks through memory. One kernel takes a frame from
the waveform to its features without leaving the cache, as many frames at once as a vector register has lanes. Its text
is written by `code`, `fourier`, `logarithm` and `source`, and compiled by LLVM in about 0.1 s by `jit`; `layout` lays
the frames out for it. Without llvmlite, and wherever this cannot be used, `methods.short_time.fft` computes the same.
"""

"""Short-time spectra by machine code, FFT or convolution."""

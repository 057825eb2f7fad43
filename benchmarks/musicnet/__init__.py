"""Parts of `benchmarks/musicnet34.py`: recordings, and types of spectrogram with the libraries that have them."""

"""Plans of constant-Q transforms: levels of rates, blocks of kernels, bins shared by harmonics."""

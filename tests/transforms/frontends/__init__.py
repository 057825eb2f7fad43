"""Front-ends of public training code, written from their formulas, and this package's settings for them."""

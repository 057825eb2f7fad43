"""Front-ends of known speech models, one file a family."""

"""Front-ends of known vocoders, codecs and models of synthesis, one file a family."""

"""Front-ends of known models of music and sound events, of vocoders and of codecs, one file a family."""

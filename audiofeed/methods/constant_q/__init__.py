"""Constant-Q transforms by octaves and by sliced frames, their inverses, and tuning estimation."""

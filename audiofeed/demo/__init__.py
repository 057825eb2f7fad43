"""`audiofeed demo`: train a small classifier from raw files and say where the time goes."""

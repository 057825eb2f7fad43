"""How long MusicNet's recordings take: `musicnet34.py` is the command, and the other files are its parts."""

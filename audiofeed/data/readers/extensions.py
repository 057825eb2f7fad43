"""Endings of file names that `AudioFolder` looks for, by the reader of each; a file's first bytes decide."""

from __future__ import annotations

WAV = (".wav", ".wave", ".rf64", ".bwf")
FLAC = (".flac",)
MPEG = (".mp3", ".mp2", ".mp1", ".mpga")
LIBSNDFILE = (".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".w64", ".caf", ".au", ".snd", ".sph")
# sound alone: a folder of videos is not a folder of sounds unless the caller says so
FFMPEG = (".m4a", ".m4b", ".aac", ".mka", ".wma", ".amr", ".3ga")

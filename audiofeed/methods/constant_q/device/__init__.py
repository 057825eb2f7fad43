"""Constant-Q transforms by octaves on a GPU, in a launch a level and one for the bins of all levels.

`octaves.cu` holds the kernels, `text` their text for some settings, `layout` the tables and the numbers that they are
given, `launch` calls them, and `self_check` compares them with `stages` before their first use.
"""

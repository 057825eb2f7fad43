"""Constant-Q octaves on a CPU by machine code: a thread takes a clip, or a segment of one, through all levels.

Torch filters, thins out, copies frames, multiplies, squares and adds, and its threads meet after each of a hundred
steps. Here the samples of a clip stay in a core's cache from its copy to its magnitudes, and the threads meet once.
`products_code` and `decimation_code` write the stages, `program` lays them out for a transform, and `run` deals the
clips out. Without llvmlite, and wherever this cannot be used, `methods.constant_q.octaves` computes the same.
"""

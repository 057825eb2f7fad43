"""What the stages of a constant-Q kernel share: the numbers of a stage and of a clip, and loops that fill memory.

A stage is a function `kernel(stage, state)` of two arrays of 64-bit integers: `stage` holds what the settings say, and
`state` where a thread is with its clip.
"""

from __future__ import annotations

from audiofeed.methods.short_time.kernel.llvm_ir import Code, Int, Name

# numbers of a clip, or of a segment of one
STATE = (
    "signal",  # address of sample 0 of the present level
    "time",  # its samples
    "offset",  # the sample of the clip that frame 0 is centered on
    "count",  # frames
    "out",  # address of the result of frame 0
    "memory",  # address of what the thread works in
    "found",  # address of the products of blocks, in that memory
)
# numbers of a stage; each stage reads those that concern it
STAGE = (
    "function",  # address of the stage's code
    "at",  # bytes from the thread's memory to a level's, of which the first `left` samples are 0
    "left",  # samples of zeros before the level's own
    "right",  # samples of zeros after them
    "tables",  # address of the floats that the stage reads: kernels, or a filter's response and roots of unity
    "work",  # bytes from the thread's memory to what the stage alone works in
    "from_found",  # 1: the frames are of the products of blocks, 0: of the signal
    "to_found",  # 1: the products of blocks are written, 0: the result
    "shift",  # the level's rate is 1 / 2^shift of the clip's
    "start",  # samples from the center of a frame to its first one
    "hop",  # samples from frame to frame
    "inner",  # taps that lie together
    "outer",  # how many times there are as many
    "outer_stride",  # samples from one time to the next
    "advance",  # frames of the stage for each frame of the clip
    "more",  # frames of the stage for the last frame of the clip, less one
    "vectors",  # of products of a frame
    "bins",
    "out_at",  # floats from a frame's result to those of the stage
    "out_stride",  # floats from the result of a frame to that of the next
)


class Numbers:
    """Numbers of a constant-Q kernel's stage or state, read and written by name in its code."""

    def __init__(self, code: Code, pointer: Name, names: tuple[str, ...]) -> None:
        self._code, self._pointer, self._names = code, pointer, names

    def __getitem__(self, name: str) -> Name:
        return self._code.load_i64(self._pointer, self._names.index(name))

    def pointer(self, name: str) -> Name:
        """Write the part of a constant-Q kernel that reads an address as a pointer."""
        return self._code.load_pointer(self._pointer, self._names.index(name))

    def put(self, name: str, value: Name) -> None:
        """Write the part of a constant-Q kernel that sets a number."""
        place = self._code.at(self._pointer, self._names.index(name), "i64")
        self._code.put(f"store i64 {value}, ptr {place}, align 8")

    def put_pointer(self, name: str, value: Name) -> None:
        """Write the part of a constant-Q kernel that sets an address."""
        self.put(name, self._code.let(f"ptrtoint ptr {value} to i64"))


def numbers(code: Code) -> tuple[Numbers, Numbers]:
    """Return the numbers of the stage and of the state that a constant-Q kernel's stage is called with."""
    return Numbers(code, "%stage", STAGE), Numbers(code, "%state", STATE)


def quotient(code: Code, a: Int, b: int) -> Name:
    """Write the part of a constant-Q kernel that divides an integer, rounding up."""
    return code.let(f"sdiv i64 {code.plus(a, b - 1)}, {b}")


def clear(code: Code, pointer: Name, count: Int) -> None:
    """Write the part of a constant-Q kernel that sets floats to 0, up to a vector more than `count`."""
    with code.loop(0, count, code.lanes) as i:
        code.store_floats("zeroinitializer", code.at(pointer, i.index, "float"))


def stage_text(code: Code) -> str:
    """Return the text of a constant-Q kernel's stage."""
    return code.text("kernel", "ptr %stage, ptr %state")


def write_copy(lanes: int) -> str:
    """Write the constant-Q kernel's first stage: a clip's samples, between zeros, in the thread's memory."""
    code = Code(lanes)
    stage, state = numbers(code)
    source, time = state.pointer("signal"), state["time"]
    memory = code.at(state.pointer("memory"), stage["at"], "i8")
    inside = code.at(memory, stage["left"], "float")
    clear(code, memory, stage["left"])
    whole = code.let(f"and i64 {time}, {-lanes}")
    with code.loop(0, whole, lanes) as i:
        code.store_floats(code.load_floats(code.at(source, i.index, "float")), code.at(inside, i.index, "float"))
    with code.loop(whole, time) as i:
        one = code.let(f"load float, ptr {code.at(source, i.index, 'float')}, align 4")
        code.put(f"store float {one}, ptr {code.at(inside, i.index, 'float')}, align 4")
    clear(code, code.at(inside, time, "float"), stage["right"])
    state.put_pointer("signal", inside)
    return stage_text(code)

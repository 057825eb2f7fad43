"""The CUDA kernel's way to a card: NVRTC, which torch for a GPU brings along, and the driver, by ctypes.

torch has functions for this (`torch.cuda._compile_kernel`), but they are private, and change.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from audiofeed.parallel.launches import stream_address

_MORE_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_ALWAYS_GIVEN = 48 * 1024
OPTIONS = ("--std=c++17", "--device-as-default-execution-space")


class CompilerError(RuntimeError):
    """The CUDA kernel could not be compiled or loaded, and the library that said so."""


@functools.cache
def compiler() -> ctypes.CDLL:
    """Return NVRTC, of the version that torch was built with, to compile the CUDA kernel.

    Raises:
        CompilerError: if torch was built without CUDA, or the library is not there.
    """
    if torch.version.cuda is None:
        raise CompilerError("torch was built without CUDA")
    major = torch.version.cuda.split(".")[0]
    names = [f"nvrtc64_{major}0_0.dll"] if sys.platform == "win32" else [f"libnvrtc.so.{major}"]
    spec = importlib.util.find_spec("nvidia")
    for place in () if spec is None else spec.submodule_search_locations or ():
        for folder in (f"cu{major}/lib", "cuda_nvrtc/lib", "cuda_nvrtc/bin"):
            names += [str(path) for path in sorted(Path(place, folder).glob(names[0]))]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise CompilerError(f"{names[0]} is not there; install nvidia-cuda-nvrtc for CUDA {torch.version.cuda}")


def compiled(text: str, architecture: str) -> bytes:
    """Compile the CUDA kernel's text by NVRTC for a card that need not be there, and return the machine code.

    Args:
        text: C++.
        architecture: as "sm_90".

    Raises:
        CompilerError: with what the compiler says.
    """
    library = compiler()
    program = ctypes.c_void_p()
    _need(library, library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"frames.cu", 0, None, None))
    try:
        options = [option.encode() for option in (*OPTIONS, f"--gpu-architecture={architecture}")]
        given = (ctypes.c_char_p * len(options))(*options)
        if library.nvrtcCompileProgram(program, len(options), given):
            said = _text_of(library, "ProgramLog", program).decode(errors="replace").strip("\0 \n")
            raise CompilerError(f"NVRTC for {architecture}: {said[:500]}")
        return _text_of(library, "CUBIN", program)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _need(library: ctypes.CDLL, status: int) -> None:
    if status:
        name = library.nvrtcGetErrorString
        name.restype = ctypes.c_char_p
        raise CompilerError(f"NVRTC: {name(status).decode()}")


def _text_of(library: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _need(library, getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    found = ctypes.create_string_buffer(size.value)
    _need(library, getattr(library, f"nvrtcGet{what}")(program, found))
    return found.raw


@functools.cache
def driver() -> ctypes.CDLL:
    """Return the library of the card's driver, which loads and launches the CUDA kernel.

    Raises:
        CompilerError: if there is none.
    """
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise CompilerError(f"{name} is not there: {error}") from error


def _must(status: int) -> None:
    if status:
        said: Any = ctypes.c_char_p()
        driver().cuGetErrorString(status, ctypes.byref(said))
        name = f"error {status}" if said.value is None else said.value.decode()
        raise CompilerError(f"the driver says: {name}")


def _loaded(code: bytes, names: Mapping[str, int], device: torch.device) -> dict[str, ctypes.c_void_p]:
    """Load machine code on a card, and return its functions of these names, with bytes of shared memory of a block."""
    module = ctypes.c_void_p()
    found = {}
    with torch.cuda.device(device):
        torch.cuda.current_stream().synchronize()  # there is a context then
        _must(driver().cuModuleLoadData(ctypes.byref(module), code))
        for name, shared in names.items():
            found[name] = ctypes.c_void_p()
            _must(driver().cuModuleGetFunction(ctypes.byref(found[name]), module, name.encode()))
            if shared > _ALWAYS_GIVEN:
                _must(driver().cuFuncSetAttribute(found[name], _MORE_SHARED, shared))
    return found


def _stream() -> ctypes.c_void_p:
    """Return torch's current stream of the current device, for a launch by the driver."""
    context = ctypes.c_void_p()
    _must(driver().cuCtxGetCurrent(ctypes.byref(context)))
    if not context:  # a thread has the device's context from its first call of the runtime on
        torch.cuda.current_stream().query()
    return ctypes.c_void_p(stream_address())


class Loaded:
    """CUDA kernel loaded on a card, to be launched on torch's current stream there.

    It stays loaded while the process lives.

    Args:
        code: machine code of `compiled`.
        name: of the function in it.
        device: of torch.
        shared: bytes of shared memory of a block.

    Raises:
        CompilerError: with what the driver says.
    """

    def __init__(self, code: bytes, name: str, device: torch.device, shared: int) -> None:
        self.shared = shared
        self._function = _loaded(code, {name: shared}, device)[name]

    def launch(self, blocks: int, threads: int, job: ctypes.Structure) -> None:
        """Launch the CUDA kernel with one argument, on torch's current stream of the current device.

        Args:
            blocks: of the grid.
            threads: of a block.
            job: the argument, copied before the call returns.

        Raises:
            CompilerError: with what the driver says.
        """
        given = (ctypes.c_void_p * 1)(ctypes.addressof(job))
        stream = _stream()
        _must(driver().cuLaunchKernel(self._function, blocks, 1, 1, threads, 1, 1, self.shared, stream, given, None))


class Call(NamedTuple):
    """Launch of a CUDA kernel that can be repeated: the values of its arguments are those they have by then."""

    name: str
    blocks: int
    threads: int
    arguments: tuple[Any, ...]
    addresses: Any


class LoadedTogether:
    """Several CUDA kernels of one text, loaded on a card, to be launched one after another.

    Args:
        code: machine code of `compiled`.
        names: of the functions in it, with the bytes of shared memory of a block.
        device: of torch.

    Raises:
        CompilerError: with what the driver says.
    """

    def __init__(self, code: bytes, names: Mapping[str, int], device: torch.device) -> None:
        found = _loaded(code, names, device)
        self._known = {name: (found[name], shared) for name, shared in names.items()}

    def launch(self, calls: Sequence[Call]) -> None:
        """Launch CUDA kernels in this order on torch's current stream of the current device.

        Raises:
            CompilerError: with what the driver says.
        """
        stream, start = _stream(), driver().cuLaunchKernel
        for name, blocks, threads, _, addresses in calls:
            function, shared = self._known[name]
            status = start(function, blocks, 1, 1, threads, 1, 1, shared, stream, addresses, None)
            if status:
                _must(status)


def call_of(name: str, blocks: int, threads: int, *arguments: Any) -> Call:
    """Prepare the launch of a CUDA kernel.

    Args:
        name: of the function.
        blocks: of the grid.
        threads: of a block.
        arguments: of `ctypes`, kept by the call, and read whenever it is launched.

    >>> call_of("features", 4, 128, ctypes.c_int(3)).arguments
    (c_int(3),)
    """
    return Call(
        name,
        blocks,
        threads,
        arguments,
        (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(argument) for argument in arguments)),
    )

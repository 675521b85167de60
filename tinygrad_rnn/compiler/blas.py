"""Matrix products inside compiled loops: calls of the BLAS that NumPy itself uses.

NumPy and SciPy each bring an OpenBLAS with threads of its own; two sets of threads that wait for work by spinning
get in each other's way. The loops therefore call NumPy's, and SciPy's only where NumPy's cannot be found.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

__all__ = ["FUNCTIONS", "product_addresses", "product_width"]

_KINDS = {"float32": ("sgemm", types.float32), "float64": ("dgemm", types.float64)}


@functools.cache
def _find() -> tuple[dict[str, int], int]:
    """The addresses of the product routines by dtype, and the bits of their integers."""
    for library in _numpy_libraries():
        for pattern, bits in (("scipy_{}_64_", 64), ("{}_64_", 64), ("scipy_{}_", 32), ("{}_", 32)):
            names = {kind: pattern.format(routine) for kind, (routine, _) in _KINDS.items()}
            if all(hasattr(library, name) for name in names.values()):
                return {k: _address(getattr(library, name)) for k, name in names.items()}, bits
    scipy = "scipy.linalg.cython_blas"
    return {kind: get_cython_function_address(scipy, routine) for kind, (routine, _) in _KINDS.items()}, 32


def _numpy_libraries() -> list[Any]:
    """The BLAS libraries that NumPy has loaded."""
    import threadpoolctl

    np.ones((2, 2)) @ np.ones((2, 2))
    loaded = [info["filepath"] for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    return [ctypes.CDLL(path) for path in loaded if "numpy" in path.rsplit("site-packages", 1)[-1]]


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


def product_addresses() -> Any:
    """The addresses in the order of the kinds, to be handed to compiled loops."""
    found, _ = _find()
    return np.array([found[kind] for kind in _KINDS], np.int64)


def product_width() -> int:
    """The bits of the integers that the routines take."""
    return _find()[1]


def _gemm(kind: str, bits: int) -> Any:
    """``c = a @ b`` for matrices in row order, each given as an array, an offset and a row length.

    Calls the Fortran routine, which counts in columns: it is told to compute the transpose, b.T times a.T.
    A flag of 1 says that an operand is stored transposed.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        call = _Call(context, builder, kind, bits)
        arrays = {place: signature.args[place] for place in (4, 8, 12)}
        table, m, n, k, a, a_at, a_row, a_flag, b, b_at, b_row, b_flag, c, c_at, c_row = arguments
        call.write(
            call.address(signature.args[0], table),
            [
                *(call.letter(b_flag), call.letter(a_flag)),
                *(call.integer(n), call.integer(m), call.integer(k)),
                *(call.number(1.0), call.element(arrays[8], b, b_at), call.integer(b_row)),
                *(call.element(arrays[4], a, a_at), call.integer(a_row)),
                *(call.number(0.0), call.element(arrays[12], c, c_at), call.integer(c_row)),
            ],
        )
        return context.get_dummy_value()

    @intrinsic
    def gemm(_, table, m, n, k, a, a_at, a_row, a_flag, b, b_at, b_row, b_flag, c, c_at, c_row):  # type: ignore[no-untyped-def]
        operands = (a, a_at, a_row, a_flag, b, b_at, b_row, b_flag, c, c_at, c_row)
        return types.void(table, m, n, k, *operands), generate

    gemm.__name__ = f"gemm_{kind}"
    return gemm


class _Call:
    """The call of a routine, all of whose arguments Fortran takes by their addresses."""

    def __init__(self, context: Any, builder: Any, kind: str, bits: int) -> None:
        self.context, self.builder, self.kind, self.bits = context, builder, kind, bits
        self.pointer = context.get_value_type(types.voidptr)

    def integer(self, value: Any) -> Any:
        return self._stored(value if self.bits == 64 else self.builder.trunc(value, self._type(types.int32)))

    def number(self, value: float) -> Any:
        return self._stored(self.context.get_constant(_KINDS[self.kind][1], value))

    def letter(self, flag: Any) -> Any:
        """N for 0, and T, six letters on, for 1."""
        six, start = (self.context.get_constant(types.int64, number) for number in (6, ord("N")))
        code = self.builder.add(start, self.builder.mul(flag, six))
        return self._stored(self.builder.trunc(code, self._type(types.uint8)))

    def element(self, array_type: Any, array: Any, offset: Any) -> Any:
        return self.builder.bitcast(self._place(array_type, array, offset), self.pointer)

    def address(self, table_type: Any, table: Any) -> Any:
        """That of the routine, from the table of :func:`product_addresses`."""
        slot = self.context.get_constant(types.int64, list(_KINDS).index(self.kind))
        return self.builder.load(self._place(table_type, table, slot))

    def write(self, address: Any, values: list[Any]) -> None:
        routine = cgutils.ir.FunctionType(cgutils.ir.VoidType(), [self.pointer] * len(values))
        self.builder.call(self.builder.inttoptr(address, routine.as_pointer()), values)

    def _type(self, numba_type: Any) -> Any:
        return self.context.get_value_type(numba_type)

    def _place(self, array_type: Any, array: Any, offset: Any) -> Any:
        return self.builder.gep(self.context.make_array(array_type)(self.context, self.builder, array).data, [offset])

    def _stored(self, value: Any) -> Any:
        return self.builder.bitcast(cgutils.alloca_once_value(self.builder, value), self.pointer)


def _functions() -> dict[str, Any]:
    bits = product_width()
    return {f"gemm_{kind}": _gemm(kind, bits) for kind in _KINDS}


FUNCTIONS = _functions()
"""By the name that loops call them."""

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
    """The addresses for float32 and float64, to be handed to compiled loops."""
    found, _ = _find()
    return np.array([found["float32"], found["float64"]], np.int64)


def product_width() -> int:
    """The bits of the integers that the routines take."""
    return _find()[1]


def _gemm(kind: str, bits: int) -> Any:
    """``out = left @ right`` for matrices in row order, each given as an array, an offset and a row length.

    Calls the Fortran routine, which counts in columns: it is told to compute the transpose, right.T times left.T.
    A flag of 1 says that an operand is stored transposed.
    """
    number = _KINDS[kind][1]
    whole = types.int64 if bits == 64 else types.int32
    slot = 0 if kind == "float32" else 1

    @intrinsic
    def gemm(
        typing_context: Any,
        addresses: Any,
        m: Any,
        n: Any,
        k: Any,
        left: Any,
        left_at: Any,
        left_row: Any,
        left_flag: Any,
        right: Any,
        right_at: Any,
        right_row: Any,
        right_flag: Any,
        out: Any,
        out_at: Any,
        out_row: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            table, m_, n_, k_, *operands = arguments
            pointer = context.get_value_type(types.voidptr)

            def whole_at(value: Any) -> Any:
                kind_ = context.get_value_type(whole)
                narrow = value if bits == 64 else builder.trunc(value, kind_)
                return builder.bitcast(cgutils.alloca_once_value(builder, narrow), pointer)

            def number_at(value: float) -> Any:
                constant = context.get_constant(number, value)
                return builder.bitcast(cgutils.alloca_once_value(builder, constant), pointer)

            def element(array_type: Any, array: Any, offset: Any) -> Any:
                data = context.make_array(array_type)(context, builder, array).data
                return builder.bitcast(builder.gep(data, [offset]), pointer)

            def letter(flag: Any) -> Any:
                byte = context.get_value_type(types.uint8)
                code = builder.add(
                    context.get_constant(types.int64, ord("N")), builder.mul(flag, context.get_constant(types.int64, 6))
                )
                return builder.bitcast(cgutils.alloca_once_value(builder, builder.trunc(code, byte)), pointer)

            (
                left_,
                left_at_,
                left_row_,
                left_flag_,
                right_,
                right_at_,
                right_row_,
                right_flag_,
                out_,
                out_at_,
                out_row_,
            ) = operands
            values = [
                letter(right_flag_),
                letter(left_flag_),
                whole_at(n_),
                whole_at(m_),
                whole_at(k_),
                number_at(1.0),
                element(right, right_, right_at_),
                whole_at(right_row_),
                element(left, left_, left_at_),
                whole_at(left_row_),
                number_at(0.0),
                element(out, out_, out_at_),
                whole_at(out_row_),
            ]
            slots = context.make_array(addresses)(context, builder, table).data
            address = builder.load(builder.gep(slots, [context.get_constant(types.int64, slot)]))
            kind_of_call = cgutils.ir.FunctionType(cgutils.ir.VoidType(), [pointer] * len(values))
            builder.call(builder.inttoptr(address, kind_of_call.as_pointer()), values)
            return context.get_dummy_value()

        return types.void(
            *[
                addresses,
                m,
                n,
                k,
                left,
                left_at,
                left_row,
                left_flag,
                right,
                right_at,
                right_row,
                right_flag,
                out,
                out_at,
                out_row,
            ]
        ), generate

    gemm.__name__ = f"gemm_{kind}"
    return gemm


def _functions() -> dict[str, Any]:
    bits = product_width()
    return {f"gemm_{kind}": _gemm(kind, bits) for kind in _KINDS}


FUNCTIONS = _functions()
"""By the name that loops call them."""

"""Numbers too small to be normal, taken for zero while a compiled loop runs.

A gradient that vanishes passes through them on its way to zero, and processors compute with them a hundred times
slower: at T = 200 a float32 LSTM would spend nine tenths of its time there. Only x86 processors are told, by two bits
of their MXCSR register (0x8040: flush results to zero, take operands for zero); elsewhere the functions do nothing.
"""

from __future__ import annotations

import platform
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["FUNCTIONS"]

_IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


@intrinsic
def _read_flags(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_value_type(types.uint32)
        if not _IS_X86:
            return context.get_constant(types.uint32, 0)
        slot = cgutils.alloca_once(builder, kind)
        _call(context, builder, "llvm.x86.sse.stmxcsr", slot)
        return builder.load(slot)

    return types.uint32(), generate


@intrinsic
def _write_flags(typing_context: Any, flags: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if _IS_X86:
            slot = cgutils.alloca_once_value(builder, arguments[0])
            _call(context, builder, "llvm.x86.sse.ldmxcsr", slot)
        return context.get_dummy_value()

    return types.void(types.uint32), generate


def _call(context: Any, builder: Any, name: str, slot: Any) -> None:
    pointer = context.get_value_type(types.voidptr)
    kind = cgutils.ir.FunctionType(cgutils.ir.VoidType(), [pointer])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, [builder.bitcast(slot, pointer)])


FUNCTIONS = {"read_flags": _read_flags, "write_flags": _write_flags}
"""By the name that loops call them."""

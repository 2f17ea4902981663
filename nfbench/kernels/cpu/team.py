"""Compiled kernels run by torch's own OpenMP threads: they are awake if torch has just used them, and no others spin.

A kernel's last argument is a `Share`. Each step of the work, a kernel and what it takes before that, is done by whoever
takes a share, one step after the other, before it takes the next share; nobody takes Python's lock.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba._dispatcher import compute_fingerprint
from numba.core import cgutils
from numba.extending import intrinsic

from nfbench.kernels.cpu.openmp import PARALLEL
from nfbench.kernels.simd.arithmetic import inlined

get_or_insert_function: Any = cgutils.get_or_insert_function
typeof: Any = numba.typeof
room_for: Any = cgutils.alloca_once
_SHARE: Any = types.UniTuple(types.int64, 5)  # type: ignore[no-untyped-call]


class Share(NamedTuple):
    """One part of a kernel's work: a range of groups and a range of draws.

    Attributes:
        number: which of the shares it is; sums of its own go there.
    """

    number: int
    group: int
    groups: int
    start: int
    stop: int


Shares = tuple[Share, ...]
Step = tuple[Callable[..., Any], tuple[Any, ...]]


@inlined
def own(sums: Any, share: Any) -> Any:
    """Of arrays for sums, one for each share or one for all, this share's."""
    return sums[share[0] % sums.shape[0]]


def run(steps: Sequence[Step], shares: Shares, threads: int) -> None:
    """Every step of every share, in so many threads, this one among them.

    Raises:
        MemoryError: a kernel had no room for its scratch.
    """
    if threads <= 1 or len(shares) <= 1 or _forks:
        for share in shares:
            for kernel, arguments in steps:
                kernel(*arguments, tuple(share))
        return
    kernels = tuple(_address(kernel, arguments) for kernel, arguments in steps)
    if not _launch(kernels, tuple(arguments for _, arguments in steps), _table(shares), threads):
        raise MemoryError("a kernel had no room for its scratch")


@functools.lru_cache
def _table(shares: Shares) -> np.ndarray:
    return np.array(shares, np.int64)


_forks: list[int] = []  # this process, if it is a fork: OpenMP's threads are not in it, and it does not know
os.register_at_fork(after_in_child=lambda: _forks.append(os.getpid()))
_addresses: dict[tuple[Any, bytes], int] = {}


def _address(kernel: Any, arguments: tuple[Any, ...]) -> int:
    """Where the machine code of a kernel for arguments of such types lies."""
    key = kernel, compute_fingerprint(arguments)
    found = _addresses.get(key)
    if found is None:
        signature = (*(typeof(argument) for argument in arguments), _SHARE)
        kernel.compile(signature)
        compiled = kernel.overloads[signature]
        found = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        _addresses[key] = found
    return found


@intrinsic
def _by_all(context: Any, kernels: Any, steps: Any, shares: Any, threads: Any) -> Any:
    """Whether every call returned as it should."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole, word, byte = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
        addresses, packed, table, number = arguments
        rows = context.make_array(shares)(context, builder, table)
        held = [whole, whole, rows.data.type, whole, addresses.type, packed.type]  # next, failures, shares, how many
        frame = room_for(builder, ir.LiteralStructType(held))
        count = builder.extract_value(rows.shape, 0)
        for place, value in enumerate((whole(0), whole(0), rows.data, count, addresses, packed)):
            builder.store(value, _field(builder, frame, place))
        body = _body(context, builder.module, frame.type, steps)
        kind = ir.FunctionType(ir.VoidType(), [body.type, byte, word, word])
        parallel = get_or_insert_function(builder.module, kind, PARALLEL)
        data = builder.bitcast(frame, byte)
        builder.call(parallel, [body, data, builder.trunc(number, word), word(0)])
        return builder.icmp_signed("==", builder.load(_field(builder, frame, 1)), whole(0))

    return types.boolean(kernels, steps, shares, threads), generate


def _body(context: Any, module: Any, frame_type: Any, steps: Any) -> Any:
    """What each thread does: `void (frame *)`, which takes shares until none is left."""
    whole, byte = ir.IntType(64), ir.IntType(8).as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [byte]), module.get_unique_name("nfbench_body"))
    function.linkage = "internal"
    start, again, work, done = (function.append_basic_block(name) for name in ("start", "again", "work", "done"))
    builder = ir.IRBuilder(start)
    frame = builder.bitcast(function.args[0], frame_type)
    table, count, addresses, packed = (builder.load(_field(builder, frame, place)) for place in range(2, 6))
    builder.branch(again)
    builder.position_at_end(again)
    index = builder.atomic_rmw("add", _field(builder, frame, 0), whole(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", index, count), work, done)
    builder.position_at_end(work)
    row = builder.mul(index, whole(_SHARE.count))
    numbers = [builder.load(builder.gep(table, [builder.add(row, whole(place))])) for place in range(_SHARE.count)]
    share = context.make_tuple(builder, _SHARE, numbers)
    for place, given in enumerate(steps):
        kinds = (*given, _SHARE)
        called = context.call_conv.get_function_type(types.none, kinds).as_pointer()
        kernel = builder.inttoptr(builder.extract_value(addresses, place), called)
        values = [builder.extract_value(packed, [place, number]) for number in range(len(given))]
        status, _ = context.call_conv.call_function(builder, kernel, types.none, kinds, [*values, share])
        failed = builder.zext(status.is_error, whole)
        builder.atomic_rmw("add", _field(builder, frame, 1), failed, "monotonic")
    builder.branch(again)
    builder.position_at_end(done)
    builder.ret_void()
    return function


def _field(builder: Any, frame: Any, place: int) -> Any:
    return builder.gep(frame, [ir.IntType(32)(0), ir.IntType(32)(place)], inbounds=True)


team: Any = _by_all


@numba.njit(cache=True, nogil=True)
def _launch(kernels: Any, steps: Any, shares: Any, threads: int) -> Any:
    return team(kernels, steps, shares, threads)

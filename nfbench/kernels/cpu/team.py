"""Runs compiled kernels in torch's own OpenMP threads, which are awake if torch has just used them.

The work is a list of steps: a kernel with its arguments, the last of which, a `Share`, is added here. A thread takes a
share, does all steps for it one after the other, and takes the next share, until none is left. The threads run machine
code only and never hold Python's lock.
"""

import functools
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba._dispatcher import compute_fingerprint
from numba.core import cgutils
from numba.extending import intrinsic

from nfbench.kernels.compiler.decorators import inlined, launcher
from nfbench.kernels.cpu.openmp import PARALLEL
from nfbench.kernels.cpu.patience import patience

get_or_insert_function: Any = cgutils.get_or_insert_function
typeof: Any = numba.typeof
room_for: Any = cgutils.alloca_once
_FAILED, _NEVER = -1, 2**63 - 1  # in place of a time
_SHARE: Any = types.UniTuple(types.int64, 5)  # type: ignore[no-untyped-call]
_TWO_TIMES: Any = types.UniTuple(types.int64, 2)  # type: ignore[no-untyped-call]


class Share(NamedTuple):
    """One part of a kernel's work: some groups, and of each of them some draws.

    Attributes:
        number: which of the shares it is: the row of its sums (`shares.combined`).
        group: the first group.
        groups: the end of the groups, one after the last.
        start: the first draw of each group.
        stop: the end of the draws, one after the last.
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
    """The part of a kernel's sums that a share adds to.

    Args:
        sums: (R, ...), memory of `shares.combined`, or one row for each share.
        share: a `Share`.

    Returns:
        The row of the share's number, or the only row; on the memory of `sums`.
    """
    return sums[share[0] % sums.shape[0]]


def run(steps: Sequence[Step], shares: Shares, threads: int) -> None:
    """Run every step of every share.

    Args:
        steps: kernels and their arguments but for the share.
        shares: parts of the work.
        threads: how many threads work, this one included.

    Raises:
        MemoryError: a kernel could not allocate its scratch memory.
    """
    if threads <= 1 or len(shares) <= 1 or _forks:
        for share in shares:
            for kernel, arguments in steps:
                kernel(*arguments, tuple(share))
        return
    kernels = tuple(_address(kernel, arguments) for kernel, arguments in steps)
    last = patience(steps[0][0], shares)
    threads = last.threads(threads)
    began, idle = _launch(kernels, tuple(arguments for _, arguments in steps), _table(shares), threads)
    if idle == _FAILED:
        raise MemoryError("a kernel could not allocate its scratch memory")
    last.learn(threads, began, idle, _now())


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


@functools.lru_cache
def _table(shares: Shares) -> np.ndarray:
    return np.array(shares, np.int64)


# The id of this process if it is a fork: OpenMP's threads do not exist in it, which OpenMP does not know.
_forks: list[int] = []
os.register_at_fork(after_in_child=lambda: _forks.append(os.getpid()))
_addresses: dict[tuple[Any, bytes], int] = {}


def _address(kernel: Any, arguments: tuple[Any, ...]) -> int:
    """The address of a kernel's machine code for the types of these arguments."""
    key = kernel, compute_fingerprint(arguments)
    address = _addresses.get(key)
    if address is None:
        signature = (*(typeof(argument) for argument in arguments), _SHARE)
        kernel.compile(signature)
        compiled = kernel.overloads[signature]
        address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        _addresses[key] = address
    return address


@intrinsic
def _by_all(context: Any, kernels: Any, steps: Any, shares: Any, threads: Any) -> Any:
    """Call OpenMP with a body that does the shares (`_body`), or the body itself where one thread works.

    It gives back when it began, after its own compilation, and when the first thread found no share left,
    or `_FAILED`; both in ns of the monotonic clock.

    Args:
        context: numba's.
        kernels: addresses, a tuple of integers.
        steps: for each kernel the tuple of its arguments.
        shares: array (number of shares, 5).
        threads: how many threads work.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        int64, word, byte = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
        addresses, packed_arguments, table, number = arguments
        rows = context.make_array(shares)(context, builder, table)
        fields = [int64, int64, rows.data.type, int64, addresses.type, packed_arguments.type, int64]
        frame = room_for(builder, ir.LiteralStructType(fields))
        count = builder.extract_value(rows.shape, 0)
        values = int64(0), int64(0), rows.data, count, addresses, packed_arguments, int64(_NEVER)
        for place, value in enumerate(values):
            builder.store(value, _field(builder, frame, place))
        body = _body(context, builder.module, frame.type, steps)
        began = _time(builder)
        kind = ir.FunctionType(ir.VoidType(), [body.type, byte, word, word])
        parallel = get_or_insert_function(builder.module, kind, PARALLEL)
        data = builder.bitcast(frame, byte)
        with builder.if_else(builder.icmp_signed("==", number, number.type(1))) as (alone, in_team):
            with alone:
                builder.call(body, [data])
            with in_team:
                builder.call(parallel, [body, data, builder.trunc(number, word), word(0)])
        failed = builder.icmp_signed("!=", builder.load(_field(builder, frame, 1)), int64(0))
        idle = builder.select(failed, int64(_FAILED), builder.load(_field(builder, frame, 6)))
        return context.make_tuple(builder, signature.return_type, [began, idle])

    return _TWO_TIMES(kernels, steps, shares, threads), generate


def _body(context: Any, module: Any, frame_type: Any, steps: Any) -> Any:
    """Emit what each thread does, `void (frame *)`: take shares until none is left, and run every step of each.

    The frame's fields: index of the next share, number of failures, shares, their number, kernels, arguments, and when
    the first thread found no share left.
    """
    int64, byte = ir.IntType(64), ir.IntType(8).as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [byte]), module.get_unique_name("nfbench_body"))
    function.linkage = "internal"
    start, again, work, done = (function.append_basic_block(name) for name in ("start", "again", "work", "done"))
    builder = ir.IRBuilder(start)
    frame = builder.bitcast(function.args[0], frame_type)
    table, count, addresses, packed_arguments = (builder.load(_field(builder, frame, place)) for place in range(2, 6))
    builder.branch(again)
    builder.position_at_end(again)
    index = builder.atomic_rmw("add", _field(builder, frame, 0), int64(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", index, count), work, done)
    builder.position_at_end(work)
    row = builder.mul(index, int64(_SHARE.count))
    numbers = [builder.load(builder.gep(table, [builder.add(row, int64(place))])) for place in range(_SHARE.count)]
    share = context.make_tuple(builder, _SHARE, numbers)
    for place, argument_types in enumerate(steps):
        kinds = (*argument_types, _SHARE)
        called = context.call_conv.get_function_type(types.none, kinds).as_pointer()
        kernel = builder.inttoptr(builder.extract_value(addresses, place), called)
        values = [builder.extract_value(packed_arguments, [place, number]) for number in range(len(argument_types))]
        status, _ = context.call_conv.call_function(builder, kernel, types.none, kinds, [*values, share])
        failed = builder.zext(status.is_error, int64)
        builder.atomic_rmw("add", _field(builder, frame, 1), failed, "monotonic")
    builder.branch(again)
    builder.position_at_end(done)
    builder.atomic_rmw("umin", _field(builder, frame, 6), _time(builder), "monotonic")
    builder.ret_void()
    return function


def _time(builder: Any) -> Any:
    """Emit a call for the monotonic clock, in ns."""
    int64, word, byte = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
    clock = room_for(builder, ir.LiteralStructType([int64, int64]))  # seconds and nanoseconds
    ask = get_or_insert_function(builder.module, ir.FunctionType(word, [word, byte]), "clock_gettime")
    builder.call(ask, [word(time.CLOCK_MONOTONIC), builder.bitcast(clock, byte)])
    seconds, rest = (builder.load(_field(builder, clock, place)) for place in range(2))
    return builder.add(builder.mul(seconds, int64(10**9)), rest)


def _field(builder: Any, frame: Any, place: int) -> Any:
    """The address of a field of the frame."""
    return builder.gep(frame, [ir.IntType(32)(0), ir.IntType(32)(place)], inbounds=True)


team: Any = _by_all


@launcher
def _launch(kernels: Any, steps: Any, shares: Any, threads: int) -> Any:
    return team(kernels, steps, shares, threads)

"""Loops of compiled kernels whose sums depend on where arrays lie in memory, found in LLVM's optimised code.

LLVM writes a vectorised loop behind a block ``vector.memcheck`` where it must first ask whether arrays overlap, and the
same loop without vectors for when they might. Sums are kept in vectors (``phi`` instructions) through such a loop.
"""

import re
import sys

from numba.core.dispatcher import Dispatcher

_BLOCK = re.compile(r'^("?[\w.$-]+"?):')
_TARGET = re.compile(r'label %("?[\w.$-]+"?)')
_SUM = re.compile(r"phi <\d+ x (float|double)>")


def guarded_sums(code):
    """The names of blocks with sums in vectors that run only if arrays are found not to overlap."""
    return [name for function in re.findall(r"^define .*?^\}", code, re.M | re.S) for name in _of(_blocks(function))]


def of_package():
    """Function -> names of such blocks, of all functions of nfbench's modules that this process has compiled."""
    found = {}
    for module in [one for name, one in sys.modules.items() if name.startswith("nfbench.")]:
        for name, function in vars(module).items():
            own = isinstance(function, Dispatcher) and function.py_func.__module__ == module.__name__
            if own and (code := function.inspect_llvm().values()):
                found[f"{module.__name__}.{name}"] = [block for each in code for block in guarded_sums(each)]
    return found


def _blocks(function):
    """Name -> lines of the blocks of a function."""
    blocks, lines = {}, []
    for line in function.splitlines():
        if match := _BLOCK.match(line):
            blocks[match[1]] = lines = []
        lines.append(line)
    return blocks


def _of(blocks):
    following = {name: _TARGET.findall("\n".join(lines)) for name, lines in blocks.items()}
    for check in [name for name in blocks if name.startswith("vector.memcheck")]:
        seen, ahead = set(), following[check]
        while ahead := [name for name in ahead if name.startswith(("vec", "iter")) and name not in seen]:
            seen.update(ahead)
            bodies = [name for name in ahead if "body" in name]
            yield from (name for name in bodies if _SUM.search("\n".join(blocks[name])))
            ahead = [after for name in ahead if name not in bodies for after in following[name]]

"""The contenders that are written here: nfbench, what it is compared with, and the floor under a training step.

Each names what it does for draws and densities, and what for a training step.
"""

from nfbench.timing.contenders import compiled, own, steps, textbook
from nfbench.timing.contenders.contract import BASE, Contender, register

NFBENCH = register(Contender(BASE, "nfbench", own.own, ("torch", "numba"), step=steps.program))
TEXTBOOK = register(Contender("textbook", "textbook PyTorch", textbook.eager, group="textbook", step=steps.textbook))
COMPILED = register(Contender("compile", "textbook, torch.compile", compiled.compiled, group="compile"))
SPLIT = register(Contender("split", "textbook, a tensor for each map, torch.compile", compiled.split, group="split"))
REFERENCE = register(Contender("reference", "plain PyTorch", own.plain, group="reference", step=steps.reference))
BARE = register(Contender("bare", "bare matrix products and optimizer pass", None, group="bare", step=steps.bare))

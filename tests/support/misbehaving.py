"""A plug-in whose targets misbehave, each in one way, from their n-th call on; a standard normal density before it."""

import ctypes
import gc
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import torch

import nfbench
from nfbench.targets.contract import Target

WAYS = {}  # name -> (what it does with (target, z), call from which on it does it)


def way(first_call=1):
    """Register a way to misbehave; the function may return what `log_joint` is to return instead."""

    def add(function):
        WAYS[function.__name__] = (function, first_call)
        return function

    return add


class Rude(BaseException):
    """An error that is no `Exception`."""


class SpeechlessError(RuntimeError):
    """An error that cannot say what it is."""

    def __str__(self):
        raise ValueError("nor this")


@way()
def nothing(target, z):
    """A target that behaves."""


@way()
def exits(target, z):
    sys.exit()


@way(12)
def exits_late(target, z):
    sys.exit(0)


@way()
def quits_at_once(target, z):
    os._exit(0)


@way(12)
def crashes(target, z):
    ctypes.string_at(0)


@way()
def aborts(target, z):
    os.abort()


@way()
def is_killed(target, z):
    os.kill(os.getpid(), signal.SIGKILL)


@way()
def becomes_another_program(target, z):
    os.execv(sys.executable, [sys.executable, "-c", "pass"])


@way(12)
def hangs(target, z):
    while True:
        time.sleep(0.1)


@way()
def hangs_in_c(target, z):
    re.match(r"(a+)+$", 60 * "a" + "b")


@way()
def stops_itself(target, z):
    os.kill(os.getpid(), signal.SIGSTOP)


@way()
def takes_memory(target, z):
    target.taken = [bytearray(os.urandom(1)) * 2**26 for _ in range(48)]


@way(12)
def lacks_memory(target, z):
    raise MemoryError


@way()
def asks_for_too_much(target, z):
    torch.empty(2**55)


@way()
def recurses(target, z):
    recurses(target, z)


@way(12)
def raises_late(target, z):
    raise RuntimeError("not again\nand a second line")


@way()
def raises_when_evaluated(target, z):
    if z.dtype == torch.float64:
        raise RuntimeError("no float64")


@way()
def raises_a_long_message(target, z):
    raise RuntimeError(10**6 * "x")


@way()
def raises_half_a_character(target, z):
    raise RuntimeError("a\ud800b")


@way()
def raises_what_cannot_speak(target, z):
    raise SpeechlessError


@way()
def raises_no_exception(target, z):
    raise Rude("out of the way")


@way()
def raises_generator_exit(target, z):
    raise GeneratorExit


@way()
def raises_keyboard_interrupt(target, z):
    raise KeyboardInterrupt


@way()
def raises_stop_iteration(target, z):
    raise StopIteration


@way()
def prints(target, z):
    print("a line that is no result")


@way()
def prints_a_flood(target, z):
    print(10**7 * "x")


@way()
def warns_in_a_flood(target, z):
    for number in range(1000):
        warnings.warn(f"warning {number} of a flood", stacklevel=1)


@way()
def closes_its_output(target, z):
    sys.stdout.close()
    sys.stderr.close()


@way(12)
def closes_its_descriptors(target, z):
    os.closerange(0, 256)


@way()
def changes_folder(target, z):
    os.chdir("/")


@way()
def changes_default_dtype(target, z):
    torch.set_default_dtype(torch.float64)


@way()
def changes_default_device(target, z):
    torch.set_default_device("meta")


@way(12)
def switches_gradients_off(target, z):
    torch.set_grad_enabled(False)


@way(12)
def enters_inference_mode(target, z):
    target.mode = torch.inference_mode()
    target.mode.__enter__()


@way()
def changes_threads_of_torch(target, z):
    torch.set_num_threads(3)


@way()
def changes_environment(target, z):
    os.environ.clear()
    os.environ["NFBENCH_BACKEND"] = "nonsense"


@way()
def changes_recursion_limit(target, z):
    sys.setrecursionlimit(5000)


@way()
def switches_validation_off(target, z):
    torch.distributions.Distribution.set_default_validate_args(False)


@way()
def ignores_signals(target, z):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@way()
def makes_warnings_errors(target, z):
    warnings.simplefilter("error")
    np.seterr(all="raise")


@way()
def stops_collecting_garbage(target, z):
    gc.disable()
    os.umask(0o777)


@way()
def seeds_everything(target, z):
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


@way()
def leaves_threads(target, z):
    if not getattr(target, "begun", False):
        target.begun = True
        threading.Thread(target=time.sleep, args=(300,), daemon=True).start()


@way()
def leaves_a_process(target, z):
    if not getattr(target, "begun", False):
        target.begun = True
        subprocess.Popen(["sleep", "300"])


@way(12)
def forks(target, z):
    if not getattr(target, "begun", False):
        target.begun = True
        os.fork()


@way(12)
def deletes_checkpoints(target, z):
    shutil.rmtree(Path("results") / "ways" / "checkpoints", ignore_errors=True)


@way()
def returns_a_sum(target, z):
    return z.sum()


@way()
def returns_a_column(target, z):
    return z.sum(-1, keepdim=True)


@way()
def returns_a_number(target, z):
    return 0.0


@way()
def returns_nothing(target, z):
    return [None]


@way()
def returns_float64(target, z):
    return z.double().sum(-1)


@way()
def returns_nan(target, z):
    return z.sum(-1) * float("nan")


@way()
def returns_minus_infinity(target, z):
    return z.sum(-1) - float("inf")


@way(12)
def returns_nan_late(target, z):
    return z.sum(-1) * float("nan")


@way()
def returns_a_constant(target, z):
    return torch.zeros_like(z[..., 0])


@way()
def returns_no_gradient(target, z):
    return -z.detach().square().sum(-1)


@way()
def changes_its_argument(target, z):
    with torch.no_grad():
        z.zero_()


@way()
def mixes_draws(target, z):
    return z.sum(-1) - z.mean()


@way()
def is_random(target, z):
    return z.sum(-1) + torch.rand(())


class Misbehaving(Target):
    """A standard normal density in two dimensions until its time comes."""

    dim = 2

    def __init__(self, how):
        super().__init__()
        self.how, self.calls = how, 0

    def log_joint(self, z, batch=None):
        self.calls += 1
        act, first_call = WAYS[self.how]
        value = act(self, z) if self.calls >= first_call else None
        if isinstance(value, list):
            return None
        return -0.5 * z.square().sum(-1) if value is None else value


def misbehaving(how: Literal[tuple(WAYS)] = "nothing"):
    """A target that misbehaves in one way."""
    return Misbehaving(how)


if __name__ == "misbehaving":  # the installed plug-in; tests that only read this file must not register it
    nfbench.register_target("misbehaving", label="Misbehaving ({how})", cite="nobody")(misbehaving)

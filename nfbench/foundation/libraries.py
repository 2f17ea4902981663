"""Other people's libraries, which nfbench can use and need not have: their versions, an import that changes nothing.

An import can change the process that it runs in: zuko's turns off the check of arguments of `torch.distributions` for
every user of it. What `nfbench.foundation.process_state` knows of is put back.
"""

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from types import ModuleType

from nfbench.foundation.environment import installed_version
from nfbench.foundation.errors import InputError, reason


@dataclass(frozen=True)
class Library:
    """An optional library.

    Attributes:
        module: what is imported, such as ``pyro``.
        distribution: what is installed, such as ``pyro-ppl``.
        extra: of nfbench's own distribution, which installs it.
    """

    module: str
    distribution: str
    extra: str = "peers"

    @property
    def installed(self) -> bool:
        """Whether it can be imported, as far as that is known without importing it."""
        return importlib.util.find_spec(self.module) is not None

    def __str__(self) -> str:
        """Name and version, such as ``zuko 1.6.0``; the name alone where it is not installed."""
        return " ".join(filter(None, (self.module, installed_version(self.distribution))))

    def check(self, name: str) -> None:
        """Refuse what the library computes where it is not installed.

        Args:
            name: of what needs it.

        Raises:
            InputError: it is not installed; the message says how to install it.
        """
        if not self.installed:
            raise InputError(f"{name}: library {self.module} is not installed; {self._expected}")

    @property
    def _expected(self) -> str:
        return f"expected it here: pip install '{self.distribution}', or pip install 'nfbench[{self.extra}]'"

    def load(self, module: str = "") -> ModuleType:
        """Import the library, or a module of it, and put back what that changes in the process.

        Args:
            module: below the library's own, such as ``flows``; empty: the library itself.

        Returns:
            The module.

        Raises:
            InputError: it is not installed, or cannot be imported.
        """
        from nfbench.foundation.process_state import ProcessState  # it imports torch

        name = ".".join(filter(None, (self.module, module)))
        loaded = sys.modules.get(name)
        if loaded is not None:
            return loaded
        self.check(name)
        before = ProcessState()
        try:
            return importlib.import_module(name)
        except Exception as error:
            raise InputError(f"{name}: importing it ends with {reason(error)}; {self._expected}") from error
        finally:
            before.restore()

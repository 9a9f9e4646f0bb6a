"""Pure tensor functions from k-space to modalities; called, the package is `magnitude_phase.modalities`.

The front door has a function of this name, and importing any file of the package binds the name to the package.
"""

import sys
from types import ModuleType
from typing import Any


class _Modalities(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from knee_i2m2.modalities.magnitude_phase import modalities

        return modalities(*arguments, **options)


sys.modules[__name__].__class__ = _Modalities

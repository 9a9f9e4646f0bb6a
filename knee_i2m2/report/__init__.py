"""Tables, figures and one page to read, made of a run's files; called, the package is `page.write_report`.

The front door has a function of this name, and importing any file of the package binds the name to the package.
"""

import sys
from types import ModuleType
from typing import Any


class _Report(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from knee_i2m2.report.page import write_report

        return write_report(*arguments, **options)


sys.modules[__name__].__class__ = _Report

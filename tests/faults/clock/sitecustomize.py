"""Python runs this at the start of a process whose PYTHONPATH names this folder: its wall clock then jumps as a test says.

The file that GATEWAY_TEST_CLOCK names holds seconds, which are added to ``time.time()`` and ``time.time_ns()`` everywhere,
and to ``datetime.now()`` in the gateway's own modules and in Django's ``timezone.now()``. Clocks that only measure (``time.monotonic``) are left alone, as a jump
of a machine's clock leaves them alone.
"""

import datetime
import importlib.abc
import importlib.machinery
import os
import sys
import time
from pathlib import Path
from types import ModuleType

SHIFT = Path(os.environ["GATEWAY_TEST_CLOCK"])
OURS = {"llmgateway", "accounting", "routing"}
DJANGOS = "django.utils.timezone"
real_time, real_time_ns = time.time, time.time_ns


def shift_s() -> float:
    return float(SHIFT.read_text())


class Shifted(datetime.datetime):
    """What it makes are plain datetimes: only ``now`` differs."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return datetime.datetime.now(tz) + datetime.timedelta(seconds=shift_s())


class Loader(importlib.abc.Loader):
    """Loads as the real one does, then puts the shifted clock where the module has ``datetime``."""

    def __init__(self, real: importlib.abc.Loader) -> None:
        self.real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.real.exec_module(module)
        if vars(module).get("datetime") is datetime.datetime:
            vars(module)["datetime"] = Shifted


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in OURS and name != DJANGOS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)  # type: ignore[arg-type]
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader)
        return spec


time.time = lambda: real_time() + shift_s()
time.time_ns = lambda: real_time_ns() + int(shift_s() * 1e9)
sys.meta_path.insert(0, Finder())

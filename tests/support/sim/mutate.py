"""Breaks a rule of the engine on purpose: a function compiled anew with a piece of its text replaced."""

from __future__ import annotations

import inspect
import textwrap
from types import ModuleType
from typing import Any

import pytest


def mutate(patch: pytest.MonkeyPatch, owner: Any, name: str, old: str, new: str) -> None:
    """Compile a function anew with ``old`` replaced by ``new``, and put it in its place."""
    function = getattr(owner, name)
    source = getattr(function, "mutated", None) or textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{name} has {source.count(old)} times: {old}"
    changed = source.replace(old, new)
    module = owner if isinstance(owner, ModuleType) else inspect.getmodule(owner)
    assert module is not None
    scope = dict(vars(module))
    code = compile(changed, f"<{name}, mutated>", "exec", flags=0x1000000)
    exec(code, scope)
    made = scope[name]
    made = type(made)(made.__code__, vars(module), name, made.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    made.mutated = changed
    patch.setattr(owner, name, made)

"""Flags and environment variables of a process, declared once on a frozen pydantic model.

Owns precedence (flag, then environment, then default), help text and one-line complaints; owns no setting.
Usage: ``port: Annotated[int, Opt("--sn-api-port", env="SN_API_SERVER_PORT", unit="port")] = Field(30304)``.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .errors import OperatorFault

M = TypeVar("M", bound=BaseModel)
TYPO_RATIO = 0.9
"""Names this alike are taken for a typo; lower, and a container platform's own variables are refused."""


@dataclass(frozen=True, slots=True, init=False)
class Opt:
    """How a field is set from outside.

    Args:
        flags: names on the command line; none for settings of the environment only. One name without a dash is an
            argument that may stand anywhere, or be left out.
        env: one name, or several of which the first that is set counts.
        unit: shown in the help.
        switch: the flag takes no value and means true.
        lines: a value may have line breaks.
    """

    flags: tuple[str, ...]
    env: tuple[str, ...]
    unit: str
    switch: bool
    lines: bool

    def __init__(
        self,
        *flags: str,
        env: str | tuple[str, ...] = (),
        unit: str = "",
        switch: bool = False,
        lines: bool = False,
    ) -> None:
        object.__setattr__(self, "flags", flags)
        object.__setattr__(self, "env", (env,) if isinstance(env, str) else env)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "switch", switch)
        object.__setattr__(self, "lines", lines)

    @property
    def shown(self) -> str:
        names = [*self.flags[:1], *self.env[:1]]
        return names[0] if len(names) == 1 else f"{names[0]} ({names[1]})"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OperatorFault(f"{message}; see: {self.prog} --help")


def load(
    model: type[M],
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    prog: str,
    prefixes: Iterable[str],
    foreign: Iterable[str] = (),
) -> M:
    """Build the settings; ``--help`` prints and exits 0. Empty variables count as not set.

    Args:
        prefixes: variables that begin so are ours: one that looks like a typo of a known name is refused.
        foreign: further names that other processes of the platform own.

    Raises:
        OperatorFault: unknown flag, probable typo of a variable, or a value that the model refuses; one line.
    """
    flags = flags_of(model)
    parser = _Parser(
        prog=prog,
        description=(model.__doc__ or "").strip(),
        allow_abbrev=False,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    for one in flags:
        opt, text = one.opt, one.told.replace("%", "%%")
        if not opt.flags:
            continue
        if not opt.flags[0].startswith("-"):
            parser.add_argument(one.name, nargs="?", metavar=opt.flags[0], help=text)
        elif opt.switch:
            parser.add_argument(*opt.flags, dest=one.name, action="store_const", const=True, help=text)
        else:
            parser.add_argument(*opt.flags, dest=one.name, metavar=one.metavar, help=text)
    only_env = [f"  {' or '.join(o.opt.env)}\n      {o.told}" for o in flags if not o.opt.flags]
    if only_env:
        parser.epilog = "variables without a flag:\n" + "\n".join(only_env)
    given = {k: v for k, v in vars(parser.parse_args(list(argv))).items() if v is not None}
    return build(model, given, environ, prefixes=prefixes, foreign=foreign)


@dataclass(frozen=True, slots=True)
class Flag:
    """A field as a command line shows it. Args: told: help text; metavar: what stands for its value."""

    name: str
    opt: Opt
    told: str
    metavar: str


def flags_of(model: type[BaseModel]) -> list[Flag]:
    """What a model declares itself comes first, then what it shares with others."""
    names = sorted(model.model_fields, key=lambda name: name not in model.__annotations__)
    fields = {name: model.model_fields[name] for name in names}
    opts = {name: _opt(name, field) for name, field in fields.items()}
    return [
        Flag(name, opts[name], _help(field, opts[name]), _metavar(field, opts[name])) for name, field in fields.items()
    ]


def build(
    model: type[M],
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    prefixes: Iterable[str],
    foreign: Iterable[str] = (),
) -> M:
    """The settings from what the command line gave, by field, and the environment; see :func:`load`.

    Raises:
        OperatorFault: probable typo of a variable, or a value that the model refuses; one line.
    """
    opts = {name: _opt(name, field) for name, field in model.model_fields.items()}
    _refuse_typos(environ, {e for o in opts.values() for e in o.env} | set(foreign), tuple(prefixes))
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, opt in opts.items():
        variable = next((e for e in opt.env if environ.get(e)), None)
        if name in given:
            values[name], sources[name] = given[name], opt.flags[0]
        elif variable is not None:
            values[name], sources[name] = environ[variable], variable
    for name, value in values.items():
        allowed = "\r\n\t" if opts[name].lines else ""
        if isinstance(value, str) and any((ord(one) < 32 or ord(one) == 127) and one not in allowed for one in value):
            raise OperatorFault(
                f"{sources[name]} is {value!r}, with characters that cannot be seen: write the file it comes from with"
                " Unix line ends, and the value without line breaks"
            )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise OperatorFault(_complaint(error, opts, values, sources)) from None


def _opt(name: str, field: FieldInfo) -> Opt:
    for extra in field.metadata:
        if isinstance(extra, Opt):
            return extra
    raise TypeError(f"setting {name} declares no Opt")


def _help(field: FieldInfo, opt: Opt) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    parts = [field.description or ""]
    if opt.unit:
        parts.append(f"unit: {opt.unit}")
    if default not in (None, PydanticUndefined):
        parts.append(f"default: {default}")
    if opt.env and opt.flags:
        parts.append(f"variable: {' or '.join(opt.env)}")
    return "; ".join(p for p in parts if p)


def _metavar(field: FieldInfo, opt: Opt) -> str:
    for kind in (field.annotation, *get_args(field.annotation)):
        if get_origin(kind) is Literal:
            return "|".join(str(v) for v in get_args(kind))
    return (opt.unit or "TEXT").upper().replace(" ", "-")


def _refuse_typos(environ: Mapping[str, str], known: set[str], prefixes: tuple[str, ...]) -> None:
    for name in sorted(environ):
        if name not in known and name.startswith(prefixes):
            alike = difflib.get_close_matches(name, known, n=1, cutoff=TYPO_RATIO)
            if alike:
                raise OperatorFault(f"the variable {name} is not known; did you mean {alike[0]}? (unset it if not)")


def _complaint(
    error: ValidationError, opts: Mapping[str, Opt], values: Mapping[str, Any], sources: Mapping[str, str]
) -> str:
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    name = str(first["loc"][0]) if first["loc"] else ""
    if name not in opts:
        return message
    if name not in values:
        return f"{opts[name].shown} is needed: {message}"
    return f"{sources[name]}={values[name]!s:.80}: {message[0].lower() + message[1:]}"

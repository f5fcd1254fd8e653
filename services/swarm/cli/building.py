"""Click commands from the table: nouns with their verbs, verbs that stand alone, and the spellings of earlier versions.

Each command is made when it is asked for, so that a start costs the same however many there are.
"""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from swarm.swci.table import LINES, NOUNS, OTHER_NOUNS, Command, Line, Option, Takes, Way
from swarm.swci.table.options import OUTPUT, SOURCE

from .output import FORMS, Out

NEAR_RATIO = 0.6
TEXT_CHARS_MAX = 16_384
HELP = "Swarm Learning: several sites train one model together and never pool their data."
OPEN = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


class _Seconds(click.ParamType[float]):
    """A time that ends: NaN is below and above no other, and would never be over."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not 0 <= found < math.inf:
            self.fail(f"{str(value)!r:.60} is no number of seconds that is 0 or more, and finite", param, ctx)
        return found


TYPES: dict[Takes, Any] = {Takes.WHOLE: int, Takes.SECONDS: _Seconds(), Takes.PATH: click.Path(path_type=Path)}


@dataclass(frozen=True)
class Call:
    """A command as it was typed.

    Args:
        command, line: its row.
        typed: the spelling.
        values: by the names that the row's options have.
        given: of a SEND, the settings that were given, by field.
        rest: of a PROCESS, its own words.
        out: where it is said.
    """

    command: Command
    line: Line
    typed: str
    values: dict[str, Any]
    given: dict[str, Any]
    rest: list[str]
    out: Out


class _Names(click.Group):
    """Commands by name, from the table. Args: noun: of a noun's verbs; "": the top."""

    def __init__(self, noun: str = "", **more: Any) -> None:
        super().__init__(**more)
        self.noun = noun

    def list_commands(self, ctx: click.Context) -> list[str]:
        shown = [line.words for command, line in LINES.values() if line.way is not Way.RESERVED]
        shown += [name for _, line in LINES.values() for name in line.names if " " not in name]
        if self.noun:
            return list(dict.fromkeys(words.split()[1] for words in shown if words.startswith(f"{self.noun} ")))
        return [*NOUNS, *dict.fromkeys(words for words in shown if " " not in words)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        words = f"{self.noun} {cmd_name}".strip()
        noun = OTHER_NOUNS.get(cmd_name, cmd_name)
        if not self.noun and noun in NOUNS:
            return _Names(noun, name=cmd_name, help=NOUNS[noun], no_args_is_help=noun not in LINES)
        return _built(words, cmd_name) if words in LINES else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.noun in LINES and (not args or args[0].startswith("-") or args[0] not in self.list_commands(ctx)):
            return self.noun, _built(self.noun, self.noun), args  # swarm job my.job, as in earlier versions
        name = args[0]
        found = self.get_command(ctx, name)
        if found is None and not name.startswith("-"):
            there = [*self.list_commands(ctx), *(words for words in LINES if " " not in words and not self.noun)]
            near = difflib.get_close_matches(name, there, n=1, cutoff=NEAR_RATIO)
            mend = f"did you mean {near[0]}?" if near else f"there are: {', '.join(self.list_commands(ctx))}"
            raise click.UsageError(f"no command is called {name!r:.80}; {mend}", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self.noun in LINES and (not args or (args[0] != "--help" and args[0].startswith("-"))):
            ctx.args = []
            ctx._protected_args = args or [""]
            ctx.params = {}
            return ctx.args
        return super().parse_args(ctx, args)


def root() -> click.Group:
    """The whole command line."""

    def version(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
        if asked:
            from importlib.metadata import version as of

            from swarm.chain.suite import VERSION

            click.echo(f"swarm {of('swarm-platform')}, contracts of version {VERSION}")
            ctx.exit()

    def debug(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
        if asked:
            os.environ["SWARM_DEBUG"] = "1"

    return _Names(
        name="swarm",
        help=HELP,
        no_args_is_help=True,
        params=[
            click.Option(
                ["--version"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=version,
                help="Show the versions of program and contracts.",
            ),
            click.Option(
                ["--debug"], is_flag=True, expose_value=False, callback=debug, help="Show the whole trace of a failure."
            ),
        ],
    )


def _built(words: str, name: str) -> click.Command:
    command, line = LINES[words]
    told = line.told or command.told

    def called(ctx: click.Context, values: dict[str, Any]) -> int:
        from .acts import act

        out: Out = ctx.find_root().obj
        given = {one: values.pop(one) for one in [*values] if one.startswith(_FIELD)}
        given = {one.removeprefix(_FIELD): value for one, value in given.items() if value is not None}
        form, bare = values.pop("output", "text"), bool(values.pop("as_json", False))
        out.begin(line, words, form, bare=bare and form == "text")
        return act(Call(command, line, words, values, given, ctx.args, out))

    def callback(**values: Any) -> int:
        return called(click.get_current_context(), values)

    if line.way is Way.PROCESS:
        return click.Command(name, callback=callback, short_help=told, context_settings=OPEN)
    params = [_parameter(one) for one in (*line.options, *(SOURCE if line.way is Way.READ else ()))]
    if line.settings:
        from .sending import fields

        params += [_field(one.name, one.opt, one.told, one.metavar) for one in fields(line)]
    # Also of what is JSON anyway: who writes it everywhere gets no error, and faults come in that form.
    params.append(click.Option([OUTPUT.name], type=click.Choice(FORMS), default="text", help=OUTPUT.told))
    others = [one for one in line.spellings if one != words]
    epilog = f"The same as: {', '.join('swarm ' + one for one in others)}." if others else None
    return click.Command(name, params=params, callback=callback, help=told, short_help=told, epilog=epilog)


_FIELD = "setting:"


class _Field(click.Option):
    """A setting's flag, whose name in the call is not a Python name."""


def _field(name: str, opt: Any, told: str, metavar: str) -> click.Parameter:
    if not opt.flags[0].startswith("-"):
        found: click.Parameter = click.Argument(["value"], required=False, metavar=f"[{opt.flags[0]}]")
    elif opt.switch:
        found = click.Option([*opt.flags, "value"], is_flag=True, flag_value=True, default=None, help=told)
    else:
        found = click.Option([*opt.flags, "value"], metavar=metavar, help=told)
    found.name = _FIELD + name
    return found


def _parameter(one: Option) -> click.Parameter:
    kind = TYPES.get(one.takes)
    many = one.many or one.name.endswith("...")
    if one.positional:
        metavar = one.name if one.needed or many else f"[{one.name}]"
        return click.Argument(
            [one.value],
            type=kind,
            required=one.needed or many,
            nargs=-1 if many else 1,
            metavar=metavar,
            callback=_seen if kind is None else None,
        )
    if one.takes is Takes.SWITCH:
        return click.Option([one.name, one.value], is_flag=True, help=one.told, hidden=one.old)
    # A default of None would be one, and then nothing is missing.
    default: dict[str, Any] = {} if one.default is None else {"default": one.default}
    return click.Option(
        [one.name, one.value],
        type=kind,
        multiple=one.many,
        **default,
        required=one.needed,
        envvar=one.env or None,
        metavar=one.takes.value,
        help=one.told,
        hidden=one.old,
        callback=_seen if kind is None and not many else None,
    )


def _seen(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """A name or text that can be seen: what cannot is a slip, and could steer a terminal."""
    for one in value if isinstance(value, tuple) else (value,):
        if one is None:
            continue
        if not one:
            raise click.BadParameter("it is empty", ctx, parameter)
        if len(one) > TEXT_CHARS_MAX or not one.isprintable():
            raise click.BadParameter(f"{one!r:.80} is too long, or has characters that cannot be seen", ctx, parameter)
    return value

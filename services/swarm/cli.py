"""The ``swarm`` command: which sub-command goes where, and how a fault ends the process.

Thin and quick to start: every sub-command imports its package when it is called. Node processes read their own
flags (their settings are one declaration); the others are Typer commands.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swarm.core.errors import OperatorFault, SwarmFault
from swarm.core.limits import OPS_PORT_SL, OPS_PORT_SN

if TYPE_CHECKING:
    from swarm.inspect.source import Source

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer(
    name="swarm",
    help="Swarm Learning: several sites train one model together and never pool their data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        from swarm.chain.suite import VERSION

        typer.echo(f"swarm {version('swarm-platform')}, contracts of version {VERSION}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the versions of program and contracts.", callback=_version, is_eager=True),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole trace of a failure.")] = False,
) -> None:
    if debug:
        os.environ["SWARM_DEBUG"] = "1"


@app.command(context_settings=PASS_ON)
def sn(ctx: typer.Context) -> None:
    """Run a swarm network node (its flags: swarm sn --help)."""
    from swarm.sn.__main__ import main as run

    raise typer.Exit(run(ctx.args))


@app.command(context_settings=PASS_ON)
def sl(ctx: typer.Context) -> None:
    """Run a swarm learning node (its flags: swarm sl --help)."""
    from swarm.sl.__main__ import main as run

    raise typer.Exit(run(ctx.args))


@app.command(context_settings=PASS_ON)
def certs(ctx: typer.Context) -> None:
    """Certificates: init, issue, sign, check."""
    from swarm.net.probe import remote_time
    from swarm.net.rehearsal import rehearse
    from swarm.net.tls import TlsFiles
    from swarm.pki.cli import build

    # pki opens no connections: the clock of another node is read, and a handshake rehearsed, by net.
    pki = build(
        lambda host, port, *files: remote_time(host, port, TlsFiles(*files)), lambda *files: rehearse(TlsFiles(*files))
    )
    pki(ctx.args, prog_name="swarm certs")


@app.command(context_settings=PASS_ON, short_help="The operator's shell: commands, scripts, REST.")
def swci(ctx: typer.Context) -> None:
    """Run the operator's shell (its flags: swarm swci --help; its commands: HELP)."""
    from swarm.swci.__main__ import main as run

    raise typer.Exit(run(ctx.args))


@app.command(context_settings=PASS_ON, short_help="Train one model at several sites on this machine.")
def demo(ctx: typer.Context) -> None:
    """Train one model at several sites on this machine (its flags: swarm demo --help)."""
    from swarm.demo.__main__ import main as run

    raise typer.Exit(run(ctx.args))


Sn = Annotated[str | None, typer.Option("--sn", help="ask this SN (host:port) through its API, as a member")]
Ops = Annotated[
    str | None,
    typer.Option(
        "--ops",
        help=f"ask an SN on this host through its operations port [default: http://127.0.0.1:{OPS_PORT_SN}]",
    ),
]
Cert = Annotated[
    Path | None, typer.Option("--cert", envvar="SWARM_ID_CERT", help="certificate of a member (with --sn)")
]
Key = Annotated[Path | None, typer.Option("--key", envvar="SWARM_ID_KEY", help="its private key (with --sn)")]
CaCert = Annotated[Path | None, typer.Option("--cacert", envvar="SWARM_ID_CACERT", help="trusted CA (with --sn)")]
CaPath = Annotated[Path | None, typer.Option("--capath", envvar="SWARM_ID_CAPATH", help="folder of CAs (with --sn)")]
Job = Annotated[str, typer.Argument(help="name of the job (training contract)")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


def _source(
    sn: Sn = None, ops: Ops = None, cert: Cert = None, key: Key = None, cacert: CaCert = None, capath: CaPath = None
) -> Source:
    from swarm.inspect.source import source

    return source(sn=sn, ops=ops, cert=cert, key=key, cacert=cacert, capath=capath, environ=os.environ)


def asks(act: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of ``_source``; it gets the source they mean as its first argument, ``where``."""
    own = list(inspect.signature(act, eval_str=True, locals={"Source": object}).parameters.values())[1:]
    whom = list(inspect.signature(_source, eval_str=True, locals={"Source": object}).parameters.values())

    @functools.wraps(act)
    def command(**given: Any) -> None:
        where = _source(**{p.name: given.pop(p.name) for p in whom})
        act(where, **given)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *whom)]
    command.__dict__["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


@app.command(short_help="Print the chain's record of a run.")
@asks
def audit(
    where: Source,
    job: Job,
    run: Annotated[int | None, typer.Option("--run", help="which run [default: the latest]")] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="merge rounds again from what this host's SL still keeps")
    ] = False,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", envvar="SWARM_STATE_DIR", help="state folder of this host's SL")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the chain's record of a run: members, rounds, leaders, contributions, metrics.

    With --recompute the exit code is 0 if every round gives the recorded hash again from the model files of this host's
    SL, 1 if one does not, 5 if some could not be judged for want of files, 4 if none could.
    """
    from swarm.inspect.commands import Again
    from swarm.inspect.commands import audit as act

    again: Again | None = None
    if recompute:
        from swarm.sl.recompute import recomputed
        from swarm.sl.settings import SlSettings

        again = functools.partial(recomputed, state_dir or SlSettings.default_state_folder(os.environ))
    raise typer.Exit(act(where, job, run, as_json=as_json, again=again))


@app.command(short_help="List all runs of a job.")
@asks
def history(
    where: Source,
    job: Annotated[str | None, typer.Argument(help="name of the job [default: all jobs]")] = None,
    as_json: Json = False,
) -> None:
    """List all runs of a job: when, how many rounds, from whom, how each ended."""
    from swarm.inspect.commands import history as act

    raise typer.Exit(act(where, job, as_json=as_json))


@app.command(context_settings=PASS_ON, short_help="Open the next run of a job.")
def reset(ctx: typer.Context) -> None:
    """Open the next run of a job (its flags: swarm reset --help)."""
    from swarm.inspect.reset import main as run

    raise typer.Exit(run(ctx.args))


@app.command(context_settings=PASS_ON, short_help="Show or set what holds for all members of a job's runs.")
def job(ctx: typer.Context) -> None:
    """Show or set what holds for all members of a job's runs (its flags: swarm job --help)."""
    from swarm.inspect.job import main as run

    raise typer.Exit(run(ctx.args))


@app.command()
@asks
def wait(
    where: Source,
    job: Job,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="give up after so many seconds [default: never]")
    ] = None,
    run: Annotated[int | None, typer.Option("--run", help="which run [default: the latest]")] = None,
) -> None:
    """Wait for the end of a run. Exit code: 0 complete, 1 failed, 3 timeout."""
    from swarm.inspect.commands import wait as act

    raise typer.Exit(act(where, job, run, timeout))


@app.command()
@asks
def status(
    where: Source,
    seconds: Annotated[float | None, typer.Argument(help="with --watch: so often [default: 2]")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="draw it anew until Ctrl-C: --watch 5")] = False,
    as_json: Json = False,
) -> None:
    """Show the swarm: its SN, members and jobs, and who waits for what."""
    from swarm.inspect.commands import status as act
    from swarm.inspect.watch import SECONDS_DEFAULT

    if seconds is not None and not watch:
        raise OperatorFault(f"swarm status {seconds:g}: seconds are for --watch")
    every = (SECONDS_DEFAULT if seconds is None else seconds) if watch else None
    raise typer.Exit(act(where, as_json=as_json, every=every))


@app.command(short_help="Tell whether this host's node does its work.")
def ready(
    role: Annotated[str, typer.Argument(help="sn or sl: which process of this host")],
    ops: Annotated[
        str | None,
        typer.Option(
            "--ops",
            help="its operations port [default: http://127.0.0.1 with port "
            f"{OPS_PORT_SN} of an sn, {OPS_PORT_SL} of an sl, or as SWARM_OPS_LISTEN and SWARM_OPS_PORT say]",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", help="seconds to keep trying")] = 0.0,
) -> None:
    """Exit with 0 when the node of this host does its work, else with 1 and the reason (for healthchecks)."""
    from swarm.inspect.ready import ready as act

    raise typer.Exit(act(role, ops, timeout, os.environ))


@app.command(short_help="Let a waiting node into the swarm.")
def approve(
    node: Annotated[str | None, typer.Argument(help="address of the node [default: list those that wait]")] = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", envvar="SWARM_STATE_DIR", help="state folder of this host's SN")
    ] = None,
) -> None:
    """Let a waiting node into the swarm (SNs with --admission approve), as the user that runs the SN."""
    from swarm.sn.approvals import Approvals
    from swarm.sn.settings import SnSettings

    folder = state_dir or SnSettings.default_state_folder(os.environ)
    if not folder.is_dir():
        raise OperatorFault(f"{folder} is not there: give the SN's --state-dir (SWARM_STATE_DIR)")
    found = Approvals(folder)
    if node is not None:
        found.approve(node)
        typer.echo(f"{node} may join; it asks again by itself")
        return
    waiting = found.waiting()
    if not waiting:
        typer.echo(f"no node waits for approval at the SN of {folder}")
    for address, told in waiting.items():
        typer.echo(f"{address}  {told['role']}  {told['certificate']}")


task = typer.Typer(
    name="task",
    help="Check task files and SWOP profiles before they are sent, and show what sites will run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(task, short_help="check and show task files and profiles")
Sets = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE: what <NAME> stands for (repeatable)")]
Vars = Annotated[str | None, typer.Option("--vars", help="a YAML file of NAME: value, on its own or below vars:")]
Output = Annotated[str, typer.Option("--output", help="text or json")]
PlainSecrets = Annotated[
    bool, typer.Option("--plain-secrets", help="let user and password stand in a task, with a warning")
]


@task.command("check", short_help="Name everything that is wrong with task files and profiles.")
def task_check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="task files and profiles; - reads a pipe")],
    sets: Sets = None,
    vars_file: Vars = None,
    output: Output = "text",
    plain_secrets: PlainSecrets = False,
) -> None:
    """Name everything that is wrong with task files and profiles, each with its line and the fix.

    The exit code is 0 if all are good, 1 if one is refused or would be taken and cannot work.
    """
    from swarm.inspect.taskfile import check as act

    raise typer.Exit(act(files, sets or (), vars_file, output=output, plain_secrets=plain_secrets))


@task.command("render", short_help="Show what sites will run of a task.")
def task_render(
    file: Annotated[str, typer.Argument(metavar="FILE", help="a task file; - reads a pipe")],
    profiles: Annotated[list[str] | None, typer.Option("--profile", help="of a site (repeatable)")] = None,
    others: Annotated[list[str] | None, typer.Option("--with", help="file of its prerequisite (repeatable)")] = None,
    sets: Sets = None,
    vars_file: Vars = None,
    output: Output = "text",
    plain_secrets: PlainSecrets = False,
) -> None:
    """Show what sites will run of a task: the body on chain, the Dockerfile, or each container.

    The exit code is 1 if one of the files is refused, or would be taken and cannot work.
    """
    from swarm.inspect.taskfile import render as act

    raise typer.Exit(
        act(
            file,
            sets or (),
            vars_file,
            profiles=profiles or (),
            others=others or (),
            output=output,
            plain_secrets=plain_secrets,
        )
    )


@task.command("schema", short_help="Print the JSON Schema of task files.")
def task_schema(
    of_profile: Annotated[bool, typer.Option("--profile", help="of SWOP profiles instead")] = False,
    plain_secrets: PlainSecrets = False,
) -> None:
    """Print the JSON Schema (draft 2020-12) of task files, for editors and other tools."""
    from swarm.inspect.taskfile import schema as act

    raise typer.Exit(act(of_profile=of_profile, plain_secrets=plain_secrets))


chain = typer.Typer(
    name="chain",
    help="Carry members, jobs and the record of earlier runs into a new chain.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(chain, short_help="carry members, jobs and runs into a new chain")
StateOfSn = Annotated[
    Path | None, typer.Option("--state-dir", envvar="SWARM_STATE_DIR", help="state folder of this host's SN")
]


@chain.command("export", short_help="Write what an import carries into a new chain.")
def chain_export(
    file: Annotated[Path, typer.Argument(help="the new file (JSON)")],
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", help="read the embedded chain in the state folder of an SN that does not run"),
    ] = None,
    without: Annotated[list[str] | None, typer.Option("--without", help="leave this job out (repeatable)")] = None,
    sn: Sn = None,
    ops: Ops = None,
    cert: Cert = None,
    key: Key = None,
    cacert: CaCert = None,
    capath: CaPath = None,
) -> None:
    """Write members, roles, jobs with their options, and the record of their runs to FILE.

    The chain is of this version or an earlier one. It is read through an SN that runs, of whatever version (--ops,
    --sn), or, if it is an embedded chain, from the state folder of one that does not run (--state-dir).
    """
    from swarm.inspect.export import export_to

    if state_dir is not None:
        from swarm.sn.leftover import embedded_chain

        if sn is not None or ops is not None:
            raise OperatorFault("--state-dir reads a folder, --sn and --ops ask an SN that runs: give one of them")
        found, notes = export_to(file, None, *embedded_chain(state_dir), without or ())
    else:
        found, notes = export_to(file, _source(sn, ops, cert, key, cacert, capath), None, None, without or ())
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(
        f"{file}: {len(found.members)} members, {len(found.jobs)} jobs, {sum(len(j.runs) for j in found.jobs)} runs; "
        f"block {found.block} of the chain with genesis 0x{found.genesis.hex()}, contracts of version {found.contracts}"
    )


@chain.command("import", short_help="Carry an export into this host's new chain.")
def chain_import(
    file: Annotated[Path, typer.Argument(help="what swarm chain export wrote")], state_dir: StateOfSn = None
) -> None:
    """Have the running SN of this host carry FILE into its chain, as the user that runs the SN.

    A second import of the same file changes nothing; one that was interrupted goes on.
    """
    from swarm.sn.carrying import import_file
    from swarm.sn.settings import SnSettings

    folder = state_dir or SnSettings.default_state_folder(os.environ)
    if not folder.is_dir():
        raise OperatorFault(f"{folder} is not there: give the SN's --state-dir (SWARM_STATE_DIR)")
    for note in import_file(file, folder, typer.echo):
        typer.echo(f"note: {note}", err=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; a fault is one line on stderr and its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        app(arguments, prog_name="swarm")
    except SwarmFault as fault:
        if os.environ.get("SWARM_DEBUG"):
            raise
        text = " ".join(str(fault).split())
        sys.stderr.write(f"swarm: {text}\n")
        sys.exit(fault.exit_code)


if __name__ == "__main__":
    main()

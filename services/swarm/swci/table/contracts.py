"""Rows about training contracts, which the command line calls jobs, and their runs."""

from __future__ import annotations

from .form import Command, Line, Option, Takes, Way
from .options import ANY_JOB, BARE, JOB, NEW_JOB, OPERATOR, RUN, RUNNER

ROWS: tuple[Command, ...] = (
    Command(
        "CREATE CONTRACT",
        "contracts",
        "Registers a training contract, for good.",
        ("CREATE CONTRACT <contract>",),
        "C09",
        changes=True,
        lines=(Line("job create", Way.SEND, (NEW_JOB,), answer="Said", settings=OPERATOR),),
    ),
    Command(
        "LIST CONTRACTS",
        "contracts",
        "Prints the names of the training contracts.",
        ("LIST CONTRACTS",),
        "C10",
        lines=(Line("job list", Way.READ, answer="Jobs"),),
    ),
    Command(
        "GET CONTRACT INFO",
        "contracts",
        "Tells what is fixed about a training contract.",
        ("GET CONTRACT INFO <contract>",),
        "C11",
        lines=(Line("job show", Way.READ, (JOB,), answer="Job"),),
    ),
    Command(
        "GET CONTRACT STATUS",
        "contracts",
        "Tells where a training contract stands now.",
        ("GET CONTRACT STATUS <contract>",),
        "C11",
        lines=(Line("job status", Way.READ, (JOB,), answer="JobStands"),),
    ),
    Command(
        "RESET CONTRACT",
        "contracts",
        "Opens the next run of a training contract; FORCE ends a run whose members are live.",
        ("RESET CONTRACT <contract> [FORCE]",),
        "C12",
        changes=True,
        lines=(
            Line("job reset", Way.SEND, answer="Said", settings="swarm.inspect.reset:ResetSettings", old=("reset",)),
        ),
    ),
    Command(
        "PERFDATA",
        "contracts",
        "Prints, for each pair of SL and ML, loss, metric and epochs of the present run.",
        ("PERFDATA <contract>",),
        "C13",
        lines=(Line("run figures", Way.READ, (JOB,), answer="Figures"),),
    ),
    Command(
        "AUDIT",
        "contracts",
        "Prints the chain's record of a run: members, rounds, leaders, shares; by default of the latest.",
        ("AUDIT <contract> [run]",),
        lines=(
            Line(
                "run show",
                Way.READ,
                (
                    JOB,
                    RUN,
                    Option("--recompute", "merge rounds again from what this host's SL still keeps", Takes.SWITCH),
                    Option("--state-dir", "state folder of this host's SL", Takes.PATH, "SWARM_STATE_DIR"),
                    BARE,
                ),
                answer="Run",
                names=("run audit",),
                old=("audit",),
                told="Prints the chain's record of a run: members, rounds, leaders, contributions, metrics.",
            ),
        ),
    ),
    Command(
        "HISTORY",
        "contracts",
        "Prints all runs of a training contract, or of all; of a task runner its last assignments.",
        ("HISTORY [contract]",),
        lines=(
            Line(
                "job history",
                Way.READ,
                (ANY_JOB, BARE),
                answer="Runs",
                old=("history",),
                told="Lists all runs of a job: when, how many rounds, from whom, how each ended.",
            ),
            Line(
                "runner history",
                Way.READ,
                (RUNNER,),
                answer="Assignments",
                told="Lists the last assignments of a task runner: what, by whom, when, how each ended.",
            ),
        ),
    ),
    Command(
        "run wait",
        "contracts",
        "Waits for the end of a run: exit code 0 complete, 1 failed, 3 time-out.",
        lines=(
            Line(
                "run wait",
                Way.READ,
                (
                    JOB,
                    Option("--timeout", "give up after so many seconds [default: never]", Takes.SECONDS),
                    RUN,
                ),
                answer="Step",
                streams=True,
                names=("wait",),
            ),
        ),
    ),
    Command(
        "job options",
        "contracts",
        "Shows or sets what holds for all members of a job's next runs.",
        changes=True,
        lines=(
            Line("job options", Way.SEND, answer="JobOptions", settings="swarm.inspect.job:JobSettings", old=("job",)),
        ),
    ),
)

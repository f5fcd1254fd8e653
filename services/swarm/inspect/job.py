"""``swarm job``: shows and sets what holds for all members of a job's next runs (contract JobOptions).

Owns its settings and what it tells; who may set options, and when, are the contract's rules.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from swarm.chain.joboptions import JobOptions as Contract
from swarm.chain.names import GuardError, OptionsError
from swarm.core.control.joboptions import canonical
from swarm.core.errors import OperatorFault, Reverted
from swarm.core.options import Opt
from swarm.node.settings import load_node_settings

from .operator import OperatorSettings, operator
from .reading import job_of


class JobSettings(OperatorSettings):
    """Show or set the options of a job."""

    command = "job"

    options: Annotated[str | None, Opt("--options", unit="JSON object")] = Field(
        None,
        description="options for the next runs, replacing all that were set, such as "
        '\'{"stop": {"metric": "loss", "target": 0.1, "patience": 5, "max_rounds": 100}, "strict": true}\'; {}: none',
    )


def main(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """The command line; prints the options that hold.

    Raises:
        OperatorFault: settings, certificates, no such job, wrong options, a run is open.
        ChainFault: the chain refused or did not answer.
    """
    settings = load_node_settings(JobSettings, argv, environ)
    text = None if settings.options is None else _text(settings.options)
    print(asyncio.run(_job(settings, text)))
    return 0


def _text(given: str) -> str:
    try:
        options = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise OperatorFault(f"--options: not JSON: {error}") from error
    if not isinstance(options, dict):
        raise OperatorFault("--options: expected a JSON object")
    return canonical(options)


async def _job(settings: JobSettings, text: str | None) -> str:
    name = settings.job
    async with operator(settings) as here:
        job = await job_of(here.training, name)
        contract = Contract(here.client, here.swarm.contracts[Contract.CONTRACT])
        if text is not None:
            try:
                await contract.set(job, text)
            except Reverted as error:
                if error.name == OptionsError.RUN_OPEN:
                    raise OperatorFault(
                        f"run {error.values['run']} of {name} is open, and its members train under the options they "
                        "joined with: wait for its end, or end it (swarm reset)"
                    ) from error
                if error.name == GuardError.NOT_ALLOWED:
                    raise OperatorFault(
                        "this certificate's node was admitted in a role that sets no options"
                    ) from error
                raise
        found, version = await contract.get(job)
        shown = found or "none (programs alone say how they train)"
        return f"{name}: options {shown}" + (f" (change {version})" if version else "")

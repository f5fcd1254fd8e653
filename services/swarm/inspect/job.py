"""``swarm job``: shows and sets what holds for all members of a job's next runs (contract JobOptions).

Owns its settings and what it tells; who may set options, and when, are the contract's rules.
"""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from swarm.chain.joboptions import JobOptions as Contract
from swarm.chain.names import GuardError, OptionsError
from swarm.core.control.joboptions import canonical
from swarm.core.errors import OperatorFault, Reverted
from swarm.core.options import Opt

from .operator import OperatorSettings, operator
from .reading import job_of
from .shapes import JobOptions


class JobSettings(OperatorSettings):
    """Show or set the options of a job."""

    command = "job"

    options: Annotated[str | None, Opt("--options", unit="JSON object")] = Field(
        None,
        description="options for the next runs, replacing all that were set, such as "
        '\'{"stop": {"metric": "loss", "target": 0.1, "patience": 5, "max_rounds": 100}, "strict": true}\'; {}: none',
    )


def _text(given: str) -> str:
    try:
        options = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise OperatorFault(f"--options: not JSON: {error}") from error
    if not isinstance(options, dict):
        raise OperatorFault("--options: expected a JSON object")
    return canonical(options)


async def job_options(settings: JobSettings) -> JobOptions:
    """The options that hold, after setting them if the settings say which.

    Raises:
        OperatorFault: settings, certificates, no such job, wrong options, a run is open.
        ChainFault: the chain refused or did not answer.
    """
    name = settings.job
    text = None if settings.options is None else _text(settings.options)
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
        return {"job": name, "options": json.loads(found) if found else None, "change": version}


def told(found: JobOptions) -> str:
    """The same in a line."""
    held = json.dumps(found["options"], sort_keys=True, separators=(",", ":")) if found["options"] else ""
    shown = held or "none (programs alone say how they train)"
    return f"{found['job']}: options {shown}" + (f" (change {found['change']})" if found["change"] else "")

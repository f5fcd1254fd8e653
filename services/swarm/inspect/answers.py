"""What an SN says of itself and of its members, checked before an operator's command reads it.

Another process wrote it, perhaps of another version: fields that are not known here pass, those that are shown must
be what they are called. Chain calls are checked by :mod:`swarm.chain.results`.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, field_validator

from swarm.core.alive import Alive
from swarm.core.errors import PeerFault

ROWS_MAX = 100_000
"""Signs of life in one answer; its bytes are bounded by the client."""

_Hex = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
_ALIVE_FIELDS = frozenset(f.name for f in dataclasses.fields(Alive))


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Head(_Answer):
    number: int = Field(ge=0)


class _SwarmTold(_Answer):
    chain: str
    admission: str
    chain_id: int = Field(ge=1, lt=2**256)
    contracts: dict[str, _Hex]


class _Status(_Answer):
    node: str
    up: bool
    reason: str | None
    head: _Head | None
    swarm: _SwarmTold


class _Sign(_Answer):
    node: _Hex
    role: str
    name: str
    sn: str
    age_seconds: float = Field(ge=0, allow_inf_nan=False)
    alive: bool
    said: dict[str, Any] | None

    @field_validator("said")
    @classmethod
    def _is_a_message(cls, said: dict[str, Any] | None) -> dict[str, Any] | None:
        if said is not None:
            try:
                Alive.from_json({name: value for name, value in said.items() if name in _ALIVE_FIELDS})
            except PeerFault as fault:
                raise ValueError(str(fault)) from fault
        return said


_SIGNS: TypeAdapter[list[_Sign]] = TypeAdapter(Annotated[list[_Sign], Field(max_length=ROWS_MAX)])


def check_status(answer: Any) -> dict[str, Any]:
    """The answer to ``/v1/status`` itself. Raises PeerFault: it is none; names the field."""
    _check(_Status.model_validate, answer, "/v1/status")
    found: dict[str, Any] = answer
    return found


def check_signs(answer: Any) -> list[dict[str, Any]]:
    """The answer to ``/v1/alive`` itself. Raises PeerFault: it is none; names the field."""
    _check(_SIGNS.validate_python, answer, "/v1/alive")
    found: list[dict[str, Any]] = answer
    return found


def _check(model: Any, answer: Any, path: str) -> None:
    try:
        model(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise PeerFault(f"the SN's answer to {path} cannot be read: {where}: {first['msg']}") from None

"""The models that an SN's answers are checked by; a module of its own, since they cost as much as a small command."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, field_validator

from swarm.core.alive import Alive
from swarm.core.errors import PeerFault

from .answers import ROWS_MAX

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
    directory: _Hex | None = None


class Status(_Answer):
    node: str
    up: bool
    reason: str | None
    head: _Head | None
    swarm: _SwarmTold
    time: float | None = Field(None, ge=0, lt=2**40, allow_inf_nan=False)
    """Of its host's clock; an SN of an older version tells none."""


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
        if said is None:
            return None
        known = {name: value for name, value in said.items() if name in _ALIVE_FIELDS}
        try:
            Alive.from_json(known)
        except PeerFault as fault:
            raise ValueError(str(fault)) from fault
        return known


SIGNS: TypeAdapter[list[_Sign]] = TypeAdapter(Annotated[list[_Sign], Field(max_length=ROWS_MAX)])

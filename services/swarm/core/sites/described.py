"""What a bundle says of its site in ``site.json``, read back: by ``swarm doctor``, on that site's host."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ..errors import OperatorFault
from .inventory import PAIRS_MAX, Folder, Name

NODES_MAX = 3 + 2 * PAIRS_MAX
DESCRIBED_BYTES_MAX = 64 * 1024
_Text = Annotated[str, StringConstraints(min_length=1, max_length=253)]


class Sentinel(BaseModel):
    """Args: here: it is this site's own SN."""

    model_config = ConfigDict(frozen=True)
    host: _Text
    port: int = Field(ge=1, le=65535)
    here: bool


class Described(BaseModel):
    """One site.

    Args:
        nodes: roles by name; each has its certificate in ``certs/NAME``.
        ports: whose each port is that the host publishes.
        data: folders of data.
    """

    model_config = ConfigDict(frozen=True)
    swarm: Name
    site: Name
    host: _Text
    nodes: dict[Name, _Text] = Field(max_length=NODES_MAX)
    ports: dict[Annotated[int, Field(ge=1, le=65535)], _Text] = Field(max_length=NODES_MAX)
    sentinel: Sentinel
    data: tuple[Folder, ...] = Field(max_length=2 * PAIRS_MAX)


def described(data: bytes, source: str) -> Described:
    """Raises OperatorFault: it is not what ``swarm site init`` writes."""
    try:
        return Described.model_validate_json(data)
    except ValidationError as error:
        one = error.errors()[0]
        place = ".".join(str(part) for part in one["loc"]) or "the file"
        raise OperatorFault(f"{source}: {place}: {one['msg']}; have swarm site init write this bundle again") from None

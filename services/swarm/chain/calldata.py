"""Bundles as they were mined: a commit's calldata decoded back (the inverse of training.encode_bundle)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarm.core.bundle import Bundle, Contribution
from swarm.core.errors import ChainFault
from swarm.core.ids import Address, BlobId, Digest
from swarm.core.roster import Roster
from swarm.core.statements import Ack, CheckIn, Result, RoundName, Signature, coefficient_from_bits

from .contract import artifact


def decode_commit(calldata: bytes) -> list[Bundle]:
    """The bundles in a transaction to Training.commit.

    Raises:
        ChainFault: the bytes are not such a call.
    """
    function = artifact("Training").functions["commit"]
    if calldata[:4] != function.hash[:4]:
        raise ChainFault("the transaction of a Merged event is not a direct call of Training.commit")
    values = function.decode_input(calldata)
    try:
        return [_bundle(b) for b in values["bundles"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ChainFault(f"the calldata of a commit does not hold bundles: {error}") from error


def _bundle(raw: Mapping[str, Any]) -> Bundle:
    name = _name(raw["name"])
    result = raw["result"]
    made = Result(
        merged=BlobId(result["merged"]),
        size=result["size"],
        method=result["method"],
        inputs=Digest(result["inputs"]),
        interval=result["interval"],
        manifest=Digest(result["manifest"]),
    )
    digest = made.hash()
    acks = tuple(
        (Ack(name, raw["attempt"], digest, Address(a["node"])), Signature(a["r"], a["vs"])) for a in raw["acks"]
    )
    return Bundle(
        name=name,
        attempt=raw["attempt"],
        leader=Address(raw["leader"]),
        result=made,
        roster=Roster.from_words(raw["roster"]),
        items=tuple(_item(name, item) for item in raw["items"]),
        acks=acks,
    )


def _name(raw: Mapping[str, Any]) -> RoundName:
    return RoundName(
        Digest(raw["job"]), raw["run"], raw["round"], raw["epoch"], bytes(raw["prev"]), Digest(raw["roster"])
    )


def _item(name: RoundName, raw: Mapping[str, Any]) -> Contribution:
    stats = raw["stats"]
    check_in = CheckIn(
        name=name,
        node=Address(raw["node"]),
        version=raw["version"],
        blob=BlobId(raw["blob"]),
        size=raw["size"],
        weight=stats["weight"],
        loss=stats["loss"],
        metric=stats["metric"],
        epochs_done=stats["epochsDone"],
        epochs_total=stats["epochsTotal"],
        flags=stats["flags"],
    )
    return Contribution(check_in, Signature(raw["r"], raw["vs"]), coefficient_from_bits(raw["coefficient"]))

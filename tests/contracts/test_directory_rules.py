"""Directory: names to contracts, versions that only grow, one owner who hands over in two steps."""

from __future__ import annotations

import pytest
from support.evm import Chain, deployed, person
from support.twin import refused

NAME = b"Training".ljust(32, b"\0")


@pytest.fixture
def chain() -> Chain:
    return deployed()


def test_directory_binds_and_rebinds_a_name(chain: Chain) -> None:
    """A name gives the newest contract bound to it; names are listed in order of first appearance."""
    other = b"Membership".ljust(32, b"\0")
    chain.directory.send(chain.admin, "set", NAME, chain.training.address, 1)
    chain.directory.send(chain.admin, "set", other, chain.membership.address, 7)
    done = chain.directory.send(chain.admin, "set", NAME, chain.membership.address, 2)
    assert [(e.name, e.target, e.version) for e in done.events] == [(NAME, chain.membership.address, 2)]
    assert chain.directory.ask("get", NAME) == {"target": chain.membership.address, "version": 2}
    assert chain.directory.ask("names") == [NAME, other]


def test_directory_refuses_bad_entries(chain: Chain) -> None:
    """Neither an address without code, nor version 0, nor a version that does not grow is taken."""
    with refused("DirectoryBadEntry", target=person("nobody"), version=1):
        chain.directory.send(chain.admin, "set", NAME, person("nobody"), 1)
    with refused("DirectoryBadEntry", version=0):
        chain.directory.send(chain.admin, "set", NAME, chain.training.address, 0)
    chain.directory.send(chain.admin, "set", NAME, chain.training.address, 3)
    with refused("DirectoryBadEntry", name=NAME, version=3):
        chain.directory.send(chain.admin, "set", NAME, chain.membership.address, 3)


def test_directory_says_which_name_is_unknown(chain: Chain) -> None:
    """The refusal carries the name that was asked for."""
    with refused("DirectoryUnknownName", name=NAME):
        chain.directory.ask("get", NAME)


def test_directory_is_written_by_its_owner_only_who_hands_over_in_two_steps(chain: Chain) -> None:
    """The old owner keeps the power until the new one accepts it."""
    heir = person("heir")
    with refused("OwnableUnauthorizedAccount", account=heir):
        chain.directory.send(heir, "set", NAME, chain.training.address, 1)
    chain.directory.send(chain.admin, "transferOwnership", heir)
    assert chain.directory.ask("owner") == chain.admin
    assert chain.directory.ask("pendingOwner") == heir
    chain.directory.send(heir, "acceptOwnership")
    chain.directory.send(heir, "set", NAME, chain.training.address, 1)
    with refused("OwnableUnauthorizedAccount", account=chain.admin):
        chain.directory.send(chain.admin, "renounceOwnership")

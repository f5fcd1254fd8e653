"""What an operator approves: a node with what it asked for, and nothing that it asks for afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from swarm.core.ids import Address, to_hex
from swarm.sn.approvals import Approvals

NODE = Address(b"\x11" * 20)
ASKED = {"role": "sl", "certificate": "site-a/sl-1", "key": "0x01", "site": "0x02"}


@pytest.mark.parametrize(
    "change", [{"role": "sn"}, {"key": "0x09"}, {"site": "0x09"}, {"certificate": "x"}, {"instead": "0x22"}]
)
def test_attack_an_approval_is_good_for_what_was_shown(change: dict[str, str], tmp_path: Path) -> None:
    """A node that was let in as an SL does not come in as an SN, nor in another's place; the list shows it anew."""
    approvals = Approvals(tmp_path)
    assert approvals.wait(NODE, ASKED)
    approvals.approve(to_hex(NODE))
    other = ASKED | change
    assert approvals.is_approved(NODE, ASKED)
    assert not approvals.is_approved(NODE, other)
    assert approvals.wait(NODE, other)
    row = approvals.waiting()[to_hex(NODE)]
    assert row.items() >= other.items()
    assert not approvals.is_approved(NODE, other)
    approvals.approve(to_hex(NODE))
    assert approvals.is_approved(NODE, other)
    approvals.done(NODE)
    assert not approvals.is_approved(NODE, other)
    assert approvals.waiting() == {}


def test_an_address_that_was_not_heard_of_is_let_in_with_whatever_it_asks_for(tmp_path: Path) -> None:
    """An operator who was told the address by its site approves it before it comes."""
    approvals = Approvals(tmp_path)
    approvals.approve(to_hex(NODE))
    assert approvals.is_approved(NODE, ASKED)

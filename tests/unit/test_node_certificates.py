"""What a node says of its own certificate before it does anything with it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support.certs import Authority
from swarm.core.errors import OperatorFault
from swarm.net.tls import TlsFiles
from swarm.node.identity import tls_contexts
from swarm.sn.service import run
from swarm.sn.settings import SnSettings, load_settings


def settings(files: TlsFiles, state: Path) -> SnSettings:
    """An SN with these files."""
    named = [f"--cert={files.cert}", f"--key={files.key}", f"--cacert={files.cacert}"]
    return load_settings(["--sentinel", f"--state-dir={state}", *named], {})


async def test_an_sn_does_not_begin_a_swarm_with_another_roles_certificate(tmp_path: Path) -> None:
    """Nobody could use it as an SN: refused before a state folder is made, with file, role and fix."""
    files = Authority().node(tmp_path / "certs", "sl-1", uri="spiffe://test/site-a/sl/sl-1")
    with pytest.raises(OperatorFault, match=r"sl-1\S* \(certificate\) is for role sl .* issue one with --role sn"):
        await run(settings(files, tmp_path / "state"))
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_that_ones_own_cas_do_not_know_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, trusted: bool
) -> None:
    """A node may run with it, but whoever trusts the same CAs refuses it: one warning that names file and issuer."""
    ca = Authority()
    files = ca.node(tmp_path, "sn-1", uri="spiffe://test/site-a/sn/sn-1", trusts=ca if trusted else Authority("other"))
    with caplog.at_level(logging.WARNING, logger="swarm.node"):
        tls_contexts(settings(files, tmp_path))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (0 if trusted else 1)
    assert all(str(files.cert) in text and "no trusted CA signed" in text for text in said)

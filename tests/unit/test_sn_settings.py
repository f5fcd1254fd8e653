"""Settings of the SN: names of the original, precedence, and one line for every mistake."""

from __future__ import annotations

import pytest
from swarm.core.errors import OperatorFault
from swarm.sn.settings import load_settings

MINIMUM = ["--sentinel", "--cert", "c", "--key", "k", "--cacert", "ca", "--state-dir", "s"]


def test_the_sentinel_is_named_by_flag_or_variable():
    """--sentinel and SN_I_AM_SENTINEL in the forms that scripts send; where else it is, by flags and variables."""
    rest = MINIMUM[1:]
    assert load_settings(MINIMUM, {}).sentinel
    for text in ("1", "true", "True"):
        assert load_settings(rest, {"SN_I_AM_SENTINEL": text}).sentinel
    second = [*rest, "--chain", "geth", "--host-ip", "10.0.0.2"]
    found = load_settings(second, {"SENTINEL_NODE_IP": "10.0.0.1", "SENTINEL_API_SERVER_PORT": "31304"})
    assert (found.sentinel, found.sentinel_url) == (False, "https://10.0.0.1:31304")
    assert load_settings(second, {"SENTINEL_NODE_IP": "fd00::1"}).sentinel_url == "https://[fd00::1]:30304"
    assert load_settings(second, {"SENTINEL_API_SERVICE": "api.sn1"}).sentinel_url == "https://api.sn1:443"
    assert load_settings(second, {"SENTINEL_API_SERVICE": "api.sn1:8443"}).sentinel_url == "https://api.sn1:8443"
    with pytest.raises(OperatorFault, match="--chain geth"):
        load_settings([*rest, "--host-ip", "h"], {"SENTINEL_NODE_IP": "10.0.0.1"})
    with pytest.raises(OperatorFault, match="--host-ip"):
        load_settings([*rest, "--chain", "geth"], {"SENTINEL_NODE_IP": "10.0.0.1"})
    with pytest.raises(OperatorFault, match="give one of them"):
        load_settings([*MINIMUM, "--sentinel-ip", "10.0.0.1"], {})
    with pytest.raises(OperatorFault, match="--sentinel"):
        load_settings(rest, {})


def test_ports_services_and_address_have_the_originals_names():
    """Ports, services, own address by variable; flags win; SN_START_MINING is taken with one notice."""
    environ = {
        "SN_API_SERVER_PORT": "31304",
        "SN_API_SERVICE": "api.sn1:443",
        "SN_ETH_PORT_EXT": "31303",
        "SN_ETH_P2P_SERVICE": "p2p.sn1:30303",
        "SN_START_MINING": "True",
        "THIS_NODE_IP": "192.0.2.7",
        "SN_NODE_IP": "192.0.2.8",
    }
    found = load_settings(MINIMUM, environ)
    assert (found.api_port, found.api_service, found.p2p_port) == (31304, "api.sn1:443", 31303)
    assert (found.p2p_service, found.host_ip, found.start_mining) == ("p2p.sn1:30303", "192.0.2.7", True)
    assert (found.own_uri, found.own_p2p) == ("https://api.sn1:443", ("p2p.sn1", 30303))
    assert len(found.notices) == 1
    plain = load_settings(MINIMUM, {k: v for k, v in environ.items() if not k.endswith("SERVICE")})
    assert (plain.own_uri, plain.own_p2p) == ("https://192.0.2.7:31304", ("192.0.2.7", 31303))
    assert load_settings(MINIMUM, {}).own_uri is None
    assert load_settings([*MINIMUM, "--sn-api-port", "32000", "--host-ip=h"], environ).api_port == 32000
    assert load_settings(MINIMUM, {}).api_port == 30304
    assert load_settings(MINIMUM, {"SN_API_SERVER_PORT": ""}).api_port == 30304
    inside = load_settings(MINIMUM, {**environ, "SN_ETH_P2P_SERVICE": "", "SN_ETH_BIND_PORT": "30303"})
    assert (inside.own_p2p, inside.p2p_bind_port) == (("192.0.2.7", 31303), 30303)
    assert found.p2p_bind_port is None


@pytest.mark.row("E13a")
def test_identity_by_variables():
    """Certificate, key, CA file and CA folder come from SWARM_ID_*; without them no start."""
    environ = {"SWARM_ID_CERT": "c", "SWARM_ID_KEY": "k", "SWARM_ID_CAPATH": "d"}
    found = load_settings(["--sentinel"], environ)
    assert (str(found.cert), str(found.key), str(found.capath), found.cacert) == ("c", "k", "d", None)
    with pytest.raises(OperatorFault, match="no start without a certificate"):
        load_settings(["--sentinel"], {"SWARM_ID_CACERT": "x"})
    with pytest.raises(OperatorFault, match="whom to trust"):
        load_settings(["--sentinel"], {"SWARM_ID_CERT": "c", "SWARM_ID_KEY": "k"})


@pytest.mark.row("E14")
def test_licence_settings_are_ignored_with_one_notice():
    """All names of the licence server are accepted and lead to one notice."""
    flags = ["--apls-ip", "x", "--apls-port", "5814", "--secondary-apls-ip", "y", "--secondary-apls-port", "1"]
    assert len(load_settings([*MINIMUM, *flags], {}).notices) == 1
    assert len(load_settings([*MINIMUM, "--primary-apls-ip", "x", "--primary-apls-port", "1"], {}).notices) == 1
    assert len(load_settings(MINIMUM, {"SWARM_LICENSE_AUTOPASSJ_SERVER_PRIMARY_IP": "x"}).notices) == 1
    assert load_settings(MINIMUM, {}).notices == []


@pytest.mark.parametrize(
    ("argv", "environ", "named"),
    [
        (["--sn-api-prot", "1"], {}, "--sn-api-prot"),
        (["--sn-api-port", "x"], {}, "--sn-api-port=x"),
        (["--sn-api-port", "0"], {}, "--sn-api-port=0"),
        (["--sn-api-port"], {}, "--sn-api-port"),
        (["--chain", "besu"], {}, "--chain=besu"),
        (["--ops-port", "30304"], {}, "both 30304"),
        ([], {"SN_API_SERVER_PORT": "70000"}, "SN_API_SERVER_PORT=70000"),
        ([], {"SN_START_MINING": "perhaps"}, "SN_START_MINING=perhaps"),
        ([], {"SN_API_SERVER_PROT": "1"}, "did you mean SN_API_SERVER_PORT"),
        ([], {"SWARM_ADMISSION": "closed"}, "SWARM_ADMISSION=closed"),
        (["--socket-path", "/x"], {}, "not offered yet"),
        (["--block-period", "-1"], {}, "--block-period"),
        (["--p2p-allow", "10.0.0.1/8"], {}, "--p2p-allow"),
        ([], {"SWARM_SN_DEAD_SECONDS": "1"}, "SWARM_SN_DEAD_SECONDS=1"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(argv, environ, named):
    """Unknown flag, bad value, likely typo of a variable: one line naming it."""
    with pytest.raises(OperatorFault) as fault:
        load_settings([*MINIMUM, *argv], environ)
    assert named in str(fault.value)
    assert "\n" not in str(fault.value)
    assert fault.value.exit_code == 2


def test_a_platforms_own_variables_are_let_be():
    """Variables that a container platform injects beside ours are no typos."""
    environ = {"SN_API_SERVICE_HOST": "10.0.0.1", "SWARM_FOO": "1", "SN_API_PORT_30304_TCP": "x", "SL_FS_PORT": "1"}
    assert load_settings(MINIMUM, environ).api_port == 30304


def test_help_tells_default_unit_and_variable(capsys):
    """--help names each flag with its default, unit and variable, and ends with 0."""
    with pytest.raises(SystemExit) as end:
        load_settings(["--help"], {})
    assert end.value.code == 0
    shown = capsys.readouterr().out
    for text in ("--sn-api-port", "default: 30304", "unit: TCP port", "SN_API_SERVER_PORT", "--admission"):
        assert text in shown

"""run-sn, run-sl, run-swop, run-swci: which docker command each flag comes to, and which words are refused."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from support import scripts
from support.scripts import LEAST, SL, SN, SWCI, SWOP, created, program
from swarm.core.errors import OperatorFault
from swarm.scripts.engine import BUILT_IN, options_of
from swarm.scripts.facts import Facts

HELP = """
Options:
      --add-host list                  Add a custom host-to-IP mapping
                                       (host:ip)
  -e, --env list                       Set environment variables
      --help                           Print usage
  -i, --interactive                    Keep STDIN open even if not attached
      --new-thing string               What only this engine knows
      --pull string                    Pull image before creating
                                       ("always", "|missing", "never")
"""

FLAGS = [
    ("sn", SN, ["--env=THIS_NODE_IP=sn-1", "--env=SN_I_AM_SENTINEL=1"]),
    ("sn", [*SN, "--sn-api-port=31304"], ["--env=SN_API_SERVER_PORT=31304", "--publish=31304:31304"]),
    ("sn", [*SN, "--sn-p2p-port", "31303"], ["--env=SN_ETH_PORT_EXT=31303", "--publish=31303:30303"]),
    ("sn", [*SN, "--sn-api-service=api.sn1:443"], ["--env=SN_API_SERVICE=api.sn1:443", "--publish=443:30304"]),
    ("sn", [*SN, "--sn-api-service=api.sn1"], ["--env=SN_API_SERVICE=api.sn1", "--publish=30304:30304"]),
    ("sn", [*SN, "--sn-p2p-service=p2p.sn1:9"], ["--env=SN_ETH_P2P_SERVICE=p2p.sn1:9", "--publish=9:30303"]),
    ("sn", ["--host-ip=h", "--sentinel-ip=10.0.0.1"], ["--env=SENTINEL_NODE_IP=10.0.0.1"]),
    (
        "sn",
        ["--host-ip=h", "--sentinel-ip=fd00::1", "--sentinel-api-port=1"],
        ["--env=SENTINEL_NODE_IP=fd00::1", "--env=SENTINEL_API_SERVER_PORT=1"],
    ),
    ("sn", ["--host-ip=h", "--sentinel-api-service", "a.b:1"], ["--env=SENTINEL_API_SERVICE=a.b:1"]),
    ("sn", [*SN, "-v", "chain:/platform/swarm/SMLNODE"], ["--volume=chain:/platform/swarm/SMLNODE"]),
    ("sl", SL, ["--env=THIS_NODE_IP=sl-1", "--env=SN_NODE_IP=sn-1"]),
    ("sl", [*SL, "--sn-api-port=1"], ["--env=SN_API_SERVER_PORT=1"]),
    ("sl", ["--host-ip=h", "--sn-api-service=a.b"], ["--env=SN_API_SERVICE=a.b"]),
    ("sl", [*SL, "--sl-fs-port=16000"], ["--env=SL_FS_PORT=16000", "--publish=16000:30305"]),
    ("sl", [*SL, "--sl-fs-service=fs:30331"], ["--env=SL_FS_SERVICE=fs:30331", "--publish=30331:30305"]),
    ("sl", [*SL, "--sl-fs-service=fs"], ["--env=SL_FS_SERVICE=fs", "--publish=30305:30305"]),
    (
        "swop",
        SWOP,
        [
            *("--env=SWOP_PROFILE=p.yaml", "--volume=/here/usr:/platform/swarm/usr:rw"),
            *("--volume=/var/run/docker.sock:/var/run/docker.sock:rw", "--env=SWOP_UID=1000", "--env=SWOP_GID=1001"),
            *('--env=SWOP_DOCKER_GID="$group"', '--group-add="$group"'),
        ],
    ),
    (
        "swop",
        [*SWOP, "--docker-socket-file=d.sock", "--docker-group-id=7", "--swop-uid=5", "--sn-ip=s", "--sn-api-port=2"],
        [
            *("--volume=/here/d.sock:/var/run/docker.sock:rw", "--env=SWOP_DOCKER_GID=7", "--group-add=7"),
            *("--env=SWOP_UID=5", '--env=SWOP_GID="$user_group"', "--env=SN_NODE_IP=s", "--env=SN_API_SERVER_PORT=2"),
        ],
    ),
    ("swop", [*SWOP, "--sn-api-service=a:1"], ["--env=SN_API_SERVICE=a:1"]),
    ("swci", SWCI, ["--rm=true"]),
    (
        "swci",
        [*SWCI, "--usr-dir=u", "--init-script-name=swci-init", "-p", "30306:30306", "-e", "SWCI_MODE=WEB"],
        [
            *("--volume=/here/u:/platform/swarm/usr:rw", "--env=SWCI_STARTUP_SCRIPT=swci-init"),
            *("--publish=30306:30306", "--env=SWCI_MODE=WEB"),
        ],
    ),
]


@pytest.mark.row("O03")
@pytest.mark.row("O04")
@pytest.mark.row("O06")
@pytest.mark.row("O07")
@pytest.mark.row("X11")
@pytest.mark.parametrize(("role", "words", "wanted"), FLAGS)
def test_each_flag_becomes_its_variable_and_its_port(role: str, words: list[str], wanted: list[str]) -> None:
    """Variable, published port and mount of every flag, as users' scripts count on them."""
    found = created(role, *words)
    assert [one for one in wanted if one not in found] == []


@pytest.mark.row("X10")
@pytest.mark.parametrize("role", LEAST)
def test_nothing_is_published_unless_asked(role: str) -> None:
    """Ports have defaults inside; outside there is none without its flag."""
    assert [word for word in created(role, *LEAST[role]) if word.startswith("--publish")] == []


def test_a_service_leads_to_the_port_that_the_sn_listens_on() -> None:
    """--sn-api-port moves the port inside too, so a proxy's port must lead there; one port is published once."""
    found = created("sn", *SN, "--sn-api-port=32000", "--sn-api-service=a:443")
    assert "--publish=443:32000" in found
    assert "--publish=32000:32000" in found
    twice = created("sn", *SN, "--sn-api-port=443", "--sn-api-service=a:443")
    assert twice.count("--publish=443:443") == 1


@pytest.mark.row("X05")
@pytest.mark.parametrize(
    ("role", "words", "said"),
    [
        ("sn", ["--host-ip=h"], "no sentinel is named"),
        ("sn", ["--sentinel=false", "--host-ip=h"], "no sentinel is named"),
        ("sn", [*SN, "--sentinel-ip=h"], "give one of them"),
        ("sn", ["--sentinel"], "--host-ip"),
        ("sn", ["--sentinel", "--sn-api-service=a"], "--host-ip"),
        ("sl", ["--sn-ip=s"], "--host-ip or --sl-fs-service"),
        ("swop", ["--usr-dir=u"], "--profile-file-name is missing"),
        ("swop", ["--profile-file-name=u"], "--usr-dir is missing"),
        ("swop", ["--usr-dir=u", "--profile-file-name=../p"], "outside of --usr-dir"),
        ("swci", ["--init-script-name=i"], "give the folder too"),
        ("sl", [*SL, "--sl-fs-port=0"], "1 to 65535"),
        ("sl", [*SL, "--sl-fs-port=65536"], "1 to 65535"),
        ("sl", [*SL, "--sl-fs-port=٣٠"], "1 to 65535"),
        ("sl", [*SL, "--sl-fs-port"], "needs a value"),
        ("sl", [*SL, "--sl-fs-port", "--sn-ip=x"], "needs a value"),
        ("sl", [*SL, "--sn-ip=a b"], "no address"),
        ("sl", [*SL, "--sn-ip=$(reboot)"], "no address"),
        ("sl", [*SL, "--sn-ip=a;b"], "no address"),
        ("sl", [*SL, "--sn-ip=--rm"], "looks like an option"),
        ("sl", [*SL, "--key=a\nb"], "line breaks"),
        ("sl", [*SL, "--key="], "is empty"),
        ("sl", [*SL, "--cert=a:b"], "colon"),
        ("sl", [*SL, "--sl-fs-service=a:b:c"], "no service"),
        ("sl", [*SL, "--sl-fs-servic=a"], "did you mean --sl-fs-service"),
        ("sl", [*SL, "--ml-image=i", "--ml-imge=x"], "did you mean --ml-image"),
        ("sl", [*SL, "--ml-image=i", "--ml-wrong-thing", "x"], "no option of this script or of docker"),
        ("sl", [*SL, "--ml-e", "A=1"], "--ml-image"),
        ("sl", [*SL, "--ml-image=i", "--ml-cmd=a 'b"], "close its quotes"),
        ("sl", [*SL, "--sidecar=A B"], "no name"),
        ("sl", [*SL, "-Z"], "-Z is no option"),
        ("sl", [*SL, "--rm=maybe"], "neither true nor false"),
        ("sl", [*SL, "--socket-path=:x"], "no volume:path"),
        ("swop", [*SWOP, "--swop-uid=root"], "no number"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(role: str, words: list[str], said: str) -> None:
    """Whose fault, and the fix; nothing is passed on to docker half understood."""
    with pytest.raises(OperatorFault) as refused:
        program(role, *words)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.row("O01")
def test_every_docker_option_passes() -> None:
    """All that an engine lists, in each way to write it; values with blanks, quotes and line breaks stay whole."""
    for name, value in BUILT_IN.long.items():
        word = f"--{name}=a b" if value else f"--{name}"
        assert f"--{name}={'a b' if value else 'true'}" in created("sn", *SN, word)
    hostile = "a b'c\"d\n$(touch x);`y`\\"
    for words in (["-e", hostile], [f"-e{hostile}"], [f"--env={hostile}"], ["--env", hostile], [f"-e={hostile}"]):
        assert f"--env={hostile}" in created("sn", *SN, *words)
    assert {"--rm=true", "--interactive=true", "--tty=true"} <= set(created("sn", *SN, "-it", "--rm"))
    assert "--interactive=false" in created("sn", *SN, "-i=false")
    assert "--memory-swap=-1" in created("sn", *SN, "--memory-swap", "-1")
    assert "--net=host" in created("sn", *SN, "--net", "host")
    assert program("sn", *SN, "-dit").containers[0].detached
    assert not program("sn", *SN, "-d=false").containers[0].detached


@pytest.mark.row("O01")
def test_an_engines_own_help_decides() -> None:
    """What only this engine knows passes; what it does not list is refused by the script, before anything is made."""
    options = options_of(HELP)
    assert dict(options.long) == {"add-host": True, "env": True, "interactive": False, "new-thing": True, "pull": True}
    facts = Facts(options=options)
    assert "--new-thing=x" in created("sn", "--sentinel", "--host-ip=h", "--new-thing", "x", facts=facts)
    with pytest.raises(OperatorFault, match="--gpus is no option"):
        created("sn", "--sentinel", "--host-ip=h", "--gpus=all", facts=facts)
    assert options_of("no such program") is BUILT_IN


@pytest.mark.row("O01")
def test_the_scripts_own_switches() -> None:
    """Host name from the name, folders absolute, words behind --, sudo, cmd, terminal, sidecars in their order."""
    assert "--hostname=sn-1" in created("sn", *SN)
    assert "--hostname=other" in created("sn", *SN, "-h", "other")
    assert "--volume=/here/x:/y:ro" in created("sn", *SN, "-v", "./x:/y:ro")
    assert "--volume=x:/y" in created("sn", *SN, "-v", "x:/y")
    assert "--volume=/y" in created("sn", *SN, "-v", "/y")
    assert ["need", "e", "/here/x"] in [list(words[:3]) for words in program("sn", *SN, "-v", "./x:/y").needs]
    assert created("sn", *SN, "--", "--block-period", "5")[-6:] == [
        *("swarm-learning/sn:dev", "sn", "--chain", "geth", "--block-period", "5"),
    ]
    assert created("sl", *SL, "--cmd=--strict 'a b'")[-4:] == ["swarm-learning/sl:dev", "sl", "--strict", "a b"]
    assert program("sn", *SN, "--sudo").commands()[0].startswith("main=$(sudo docker container create ")
    assert "--tty=true" in created("sn", *SN, facts=Facts(terminal=True))
    assert "--tty=true" not in created("sn", *SN)
    beside = ["--sidecar", "logs", "--logs-image=i:1", "--logs-v", "a:/b", "--logs-cmd=x y", "--logs-pid-main"]
    assert created("sl", *SL, *beside, "--logs-volumes-from-main", "--logs-d", at=1) == [
        *("--volume=a:/b", "--interactive=true", '--pid=container:"$main"', '--volumes-from="$main"', "i:1", "x", "y"),
    ]


@pytest.mark.row("O02a")
@pytest.mark.row("E14")
def test_the_licence_servers_settings_are_taken_with_one_notice() -> None:
    """All six names, one sentence, and nothing of them in the container."""
    names = ("apls-ip", "apls-port", "primary-apls-ip", "primary-apls-port", "secondary-apls-ip", "secondary-apls-port")
    for role, words in LEAST.items():
        found = program(role, *words, *(f"--{name}=5814" for name in names))
        assert len(found.notices) == 1
        assert "5814" not in str(found.containers[0].words)
    assert program("sn", *SN).notices == []


@pytest.mark.row("O02b")
@pytest.mark.parametrize("role", LEAST)
def test_identity_is_mounted_read_only_at_its_place(role: str) -> None:
    """The variable names the same path inside as outside; one that is not there is refused before docker is asked."""
    found = program(role, *LEAST[role], "--cacert=/id/ca.pem")
    words = list(found.containers[0].words)
    for variable, path in (("KEY", "id/key.pem"), ("CERT", "id/cert.pem"), ("CAPATH", "id/ca")):
        assert f"--volume=/here/{path}:/here/{path}:ro" in words
        assert f"--env=SWARM_ID_{variable}=/here/{path}" in words
    assert "--env=SWARM_ID_CACERT=/id/ca.pem" in words
    asked = [list(need[1:3]) for need in found.needs]
    assert ["d", "/here/id/ca"] in asked
    assert ["f", "/here/id/key.pem"] in asked


@pytest.mark.row("O02c")
def test_a_spiffe_agents_socket() -> None:
    """volume:path as it is written; a file or a container is looked up by the shell, on the host."""
    found = created("sn", "--sentinel", "--host-ip=h", "--socket-path=vol:run/a.sock")
    assert "--volume=vol:/tmp/spire-agent" in found
    assert "--env=SWARM_SPIFFE_WORKLOAD_API_SOCKET_PATH=/tmp/spire-agent/run/a.sock" in found
    asked = program("sn", "--sentinel", "--host-ip=h", "--socket-path", "agent").containers[0].asked
    assert [words for _, words in asked] == [
        ["agent_of", "agent", "/here/agent"],
        ["socket_of", "agent", "/here/agent"],
    ]


@pytest.mark.row("O12")
def test_images_by_registry_and_tag() -> None:
    """The name is the platform's, registry and tag are the site's; --image names another one whole."""
    for role, words in LEAST.items():
        assert f"swarm-learning/{role}:dev" in created(role, *words)
        there = created(role, *words, "--registry=hub.example:5000/hpe/", "--tag", "2.3.0")
        assert f"hub.example:5000/hpe/swarm-learning/{role}:2.3.0" in there
        told = Facts(registry="hub", tag="9")
        assert f"hub/swarm-learning/{role}:9" in created(role, *words, facts=told)
        assert created(role, *words, "--image=mine:1")[-1] == "mine:1"


def test_an_sl_without_an_sns_address_looks_for_one_here() -> None:
    """By container name if that is given, else the one that runs from the SN's image."""
    for words, asked in (
        ([], ["address_of_sn", "", "swarm-learning/sn:dev"]),
        (["--sn-docker-name=sn-2"], ["address_of_sn", "sn-2", "swarm-learning/sn:dev"]),
        (["--sn-image=other:1"], ["address_of_sn", "", "other:1"]),
    ):
        found = program("sl", "--host-ip=h", *words).containers[0]
        assert found.asked == [("sn", asked)]
        assert '--env=SN_NODE_IP="$sn"' in [str(word) for word in found.words]
    assert "--env=SN_NODE_IP=10.1.1.2" in created("sl", "--host-ip=h", "--sn-ip=10.1.1.2 172.17.0.2 ")


ML = [*SL, "--ml-image=mnist:1"]


@pytest.mark.row("O05")
@pytest.mark.row("X06")
def test_an_ml_program_shares_pipes_and_exchange_folder_and_no_key() -> None:
    """Both containers know the pipes and mount both folders; the SL's identity and state stay with the SL."""
    main = created("sl", *ML, "-v", "data:/data", "-v", "st:/platform/swarm/SMLNODE")
    program_beside = created("sl", *ML, "-v", "data:/data", "-v", "st:/platform/swarm/SMLNODE", at=1)
    for words in (main, program_beside):
        assert "--env=SL_REQUEST_CHANNEL=/tmp/channel/request.channel" in words
        assert "--env=SL_RESPONSE_CHANNEL=/tmp/channel/response.channel" in words
        assert "--volume=data:/data" in words
    assert {"--volume=/tmp/channel", "--volume=/tmp/hpe-swarm"} <= set(main)
    assert {'--volume="$channel"', '--volume="$exchange"'} <= set(program_beside)
    assert not [word for word in program_beside if "id/" in word or "SMLNODE" in word]
    asked = program("sl", *ML).containers[1].asked
    assert [[str(word) for word in words] for _, words in asked] == [
        ["volume_at", '"$main"', "/tmp/channel"],
        ["volume_at", '"$main"', "/tmp/hpe-swarm"],
    ]


@pytest.mark.row("X06")
def test_a_users_own_exchange_folder_is_the_one_that_is_shared() -> None:
    """`-v x:/tmp/hpe-swarm` of the SL, as users of the original help themselves: no mount point twice."""
    words = [*ML, "-v", "x:/tmp/hpe-swarm/"]
    assert "--volume=/tmp/hpe-swarm" not in created("sl", *words)
    beside = created("sl", *words, at=1)
    assert "--volume=x:/tmp/hpe-swarm/" in beside
    assert '--volume="$exchange"' not in beside
    own = created("sl", *words, "--ml-v", "y:/tmp/hpe-swarm", at=1)
    assert [word for word in own if "hpe-swarm" in word] == ["--volume=y:/tmp/hpe-swarm"]


@pytest.mark.row("O05")
def test_the_ml_containers_own_flags() -> None:
    """Entry point, command in words, folder, name, mounts, variables; the user is the caller, a uid gets its group."""
    flags = ["--ml-entrypoint=python3 -u", "--ml-cmd=train.py --note 'a b'", "--ml-w", "/w", "--ml-name=ml-1"]
    flags += ["--ml-v", "./d:/d", "--ml-e", "A=b c", "--ml-gpus=all", "--ml-d", "--ml-rm"]
    found = created("sl", *ML, *flags, at=1)
    assert found[-5:] == ["mnist:1", "-u", "train.py", "--note", "a b"]
    for word in ("--entrypoint=python3", "--workdir=/w", "--name=ml-1", "--hostname=ml-1", "--volume=/here/d:/d"):
        assert word in found
    assert {"--env=A=b c", "--gpus=all", "--user=1000:1001", "--rm=true"} <= set(found)
    assert '--user=5:"$group"' in created("sl", *ML, "--ml-user=5", at=1)
    assert program("sl", *ML, "--ml-user=5").containers[1].asked[-1] == ("group", ["primary_group", "5"])
    assert "--user=5:6" in created("sl", *ML, "--ml-user=5:6", at=1)
    assert program("sl", *ML, "--ml-d").containers[1].detached
    assert len(program("sl", *SL).containers) == 1


@pytest.mark.parametrize("role", LEAST)
def test_dry_run_prints_commands_that_could_be_typed(role: str, tmp_path: Path) -> None:
    """The real script, by bash: nothing is started, nothing need be there, and hostile words come out as one word."""
    hostile = "a b'c\"d\n$(touch made);`touch made`\\"
    words = [*LEAST[role], "-d", "-e", hostile, "--dry-run"]
    done = scripts.run(f"run-{role}", words, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    before, _, after = done.stdout.partition("main=$(")
    assert before == ("group=$(stat -c %g /var/run/docker.sock)\n" if role == "swop" else "")
    created_by, started = after.rsplit(")\n", 1)
    assert shlex.split(created_by)[:3] == ["docker", "container", "create"]
    assert f"--env={hostile}" in shlex.split(created_by)
    assert started == 'docker container start "$main"\n'
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host-ip=h"], "run-sn: no sentinel is named"),
        (["--sentinel", "--host-ip=h", "--key", "id/key.pem"], "there is no file {folder}/id/key.pem"),
        (["--sentinel", "--host-ip=h", "-v", "./nowhere:/x"], "there is no {folder}/nowhere on this host"),
    ],
)
def test_bad_words_end_the_script_with_one_sentence(words: list[str], said: str, tmp_path: Path) -> None:
    """The real script: exit code 2, one line, no container."""
    done = scripts.run("run-sn", words, tmp_path)
    assert done.returncode == 2
    assert said.format(folder=tmp_path) in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_names_every_flag(tmp_path: Path) -> None:
    """run-sl --help: its own flags and no other script's."""
    done = scripts.run("run-sl", ["--help"], tmp_path)
    assert done.returncode == 0
    assert "--sl-fs-port <port>" in done.stdout
    assert "--sentinel" not in done.stdout

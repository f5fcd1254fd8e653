"""The compose quick start, as a user types it: images, certificates, four nodes on a real geth, three programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.compose import Project, project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]

NODES = ("sn1", "sl1", "sl2", "sl3")
PROGRAMS = ("ml1", "ml2", "ml3")
JOB = "defaultbb.cqdb.sml.hpe"
KILLED = 137


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The quick start's nodes, healthy; everything is removed at the end."""
    with project("swarmtest", tmp_path_factory.mktemp("certs"), NODES) as made:
        yield made


@pytest.fixture(autouse=True)
def _tell_logs(request: pytest.FixtureRequest, swarm: Project) -> Iterator[None]:
    """Prints the containers' last lines after a failed test."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        print(swarm.logs())


@pytest.mark.parametrize("image", ["sn", "sl", "ml-demo"])
def test_an_image_runs_as_an_ordinary_user(swarm: Project, image: str) -> None:
    """Nobody is root in there, and nothing of the code can be overwritten by the user who runs it."""
    probe = "id -u; test -w /opt/swarm -o -w /opt/ml -o -w /usr && echo writable || echo fixed"
    told = swarm.script(
        "docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", f"swarm-learning/{image}:test", "-c", probe
    )
    assert told.split() == ["10001", "fixed"]


@pytest.mark.parametrize("image", ["sn", "sl"])
def test_a_node_image_holds_no_machine_learning_framework(swarm: Project, image: str) -> None:
    """Neither PyTorch nor TensorFlow nor scikit-learn can be imported in a node image."""
    probe = (
        "from importlib.util import find_spec as f; "
        "print([m for m in ('torch', 'tensorflow', 'keras', 'sklearn', 'swarm') if f(m)])"
    )
    name = f"swarm-learning/{image}:test"
    assert swarm.script("docker", "run", "--rm", "--entrypoint", "python3", name, "-c", probe).strip() == "['swarm']"


ASK_IS_UP = """
import http.client, json, ssl
folder = '/platform/swarm/certs/'
tls = ssl.create_default_context(cafile=folder + 'ca-cert.pem')
tls.load_cert_chain(folder + 'cert.pem', folder + 'key.pem')
link = http.client.HTTPSConnection('sn1', 30304, context=tls, timeout=5)
link.request('GET', '/is_up')
print(json.load(link.getresponse())['status'])
"""


def test_a_restarted_sn_stops_cleanly_and_answers_the_moment_it_is_healthy(swarm: Project) -> None:
    """It ends by itself within the grace period; Docker's `healthy` means that another node's call is answered."""
    swarm.compose("stop", "sn1")
    assert int(swarm.state("sn1", ".State.ExitCode")) != KILLED
    swarm.compose("start", "sn1")
    swarm.until_healthy("sn1")
    assert swarm.compose("exec", "-T", "sl1", "python3", "-c", ASK_IS_UP).strip() == "UP"
    swarm.until_healthy(*NODES)


def test_private_keys_are_the_nodes_alone(swarm: Project) -> None:
    """Keys are 0600 and belong to the user of the container; no image layer and no environment holds one."""
    for node in NODES:
        told = swarm.script(
            "docker", "exec", swarm.container(node), "stat", "-c", "%a %u", "/platform/swarm/certs/key.pem"
        )
        assert told.split() == ["600", "10001"]
        assert "PRIVATE KEY" not in swarm.script("docker", "inspect", swarm.container(node))


def test_three_programs_train_and_end_with_one_model(swarm: Project) -> None:
    """`swarm wait` ends with 0, so does each program and its SL, and the final model files are the same bytes."""
    swarm.compose("up", "-d", *PROGRAMS)
    swarm.compose("exec", "-T", "sn1", "swarm", "wait", JOB, "--timeout", "240")
    assert [swarm.exit_code(program) for program in PROGRAMS] == [0, 0, 0]
    assert [swarm.exit_code(node) for node in NODES if node.startswith("sl")] == [0, 0, 0]
    assert len({swarm.sha256(program, "/home/swarm/out/model.safetensors") for program in PROGRAMS}) == 1

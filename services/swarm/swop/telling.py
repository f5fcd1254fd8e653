"""What a SWOP says of itself at its start (row L04): its id in a box, and the profile that holds, as YAML.

Pure. Secrets are struck out where lines are written (:mod:`swarm.obs.log`); here none is looked up.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from swarm.core.tasktext.model import Variable
from swarm.core.tasktext.profile import Address, Profile, SlNode

FRAME = "#"


def boxed(text: str) -> list[str]:
    edge = FRAME * (len(text) + 4)
    return [edge, f"{FRAME} {text} {FRAME}", edge]


def profile_lines(profile: Profile, sns: Sequence[str]) -> list[str]:
    """The profile as it was read, with the SNs that are used, whoever named them."""
    out = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.dump(
        {
            "groupname": profile.group,
            "taskrunner": profile.taskrunner,
            "policyuri": profile.policy_uri,
            "network": profile.network,
            "apls": {"locator": _address(profile.license)},
            "apisrv": {"sns": list(sns)},
            "dns": list(profile.dns),
            "envvars": _variables(profile.variables),
            "nodes": [{"slnodedef": _node(node)} for node in profile.nodes],
        },
        out,
    )
    return out.getvalue().splitlines()


def _address(of: Address) -> dict[str, Any]:
    return {"host": of.host, "port": of.port}


def _variables(of: Iterable[Variable]) -> list[dict[str, str | None]]:
    return [{one.name: one.value} for one in of]


def _node(node: SlNode) -> Mapping[str, Any]:
    return {
        "idx": node.index,
        "identity": [
            {
                "aType": one.kind,
                "mType": one.mount,
                "src": one.source,
                "tgt": one.target,
                "subPath": one.sub_path,
            }
            for one in node.identity
        ],
        "slhostname": node.host_name,
        "slhostip": node.host_ip,
        "slport": node.port,
        "slfsservice": node.fs_service,
        "privatedata": None if node.private is None else {"src": node.private.source, "mType": node.private.mount},
        "slenvvars": _variables(node.sl_variables),
        "usrenvvars": _variables(node.user_variables),
        "sllabels": dict(node.sl_labels),
        "usrlabels": dict(node.user_labels),
        "usrhostname": node.user_host_name,
        "usrcontaineropts": {name: _plain(value) for name, value in node.user_options},
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

"""What an SN says of itself and of its members, checked before an operator's command reads it.

Another process wrote it, perhaps of another version: fields that are not known here are left out, those that are
shown must be what they are called. Chain calls are checked by :mod:`swarm.chain.results`.
"""

from __future__ import annotations

from typing import Any

from swarm.core.errors import PeerFault

ROWS_MAX = 100_000
"""Signs of life in one answer; its bytes are bounded by the client."""


def check_status(answer: Any) -> dict[str, Any]:
    """What is known of the answer to ``/v1/status``. Raises PeerFault: it is none; names the field."""
    from .answermodels import Status

    # What the SN left out stays out: an older version says less.
    found: dict[str, Any] = _check(Status.model_validate, answer, "/v1/status").model_dump(exclude_unset=True)
    return found


def check_signs(answer: Any) -> list[dict[str, Any]]:
    """What is known of the answer to ``/v1/alive``. Raises PeerFault: it is none; names the field."""
    from .answermodels import SIGNS

    return [sign.model_dump() for sign in _check(SIGNS.validate_python, answer, "/v1/alive")]


def _check(model: Any, answer: Any, path: str) -> Any:
    from pydantic import ValidationError

    try:
        return model(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise PeerFault(f"the SN's answer to {path} cannot be read: {where}: {first['msg']}") from None

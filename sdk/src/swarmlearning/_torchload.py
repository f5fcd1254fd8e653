"""Puts a merged state into a PyTorch model, and makes sure that the model computes with it.

Owns the check after a load; what is shared, and under which names, is the callback's. A model may override
``state_dict`` and ``load_state_dict``, and hooks may change what they do: what they answer is looked at, and the model
is read again afterwards, so that a load which did nothing cannot pass for one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Callable, Mapping

import torch

from .client.names import SwarmError

__all__ = ["put", "same_values", "unshared"]

NAMES_MAX = 3
"""So many names are told in one sentence."""

State = Mapping[str, torch.Tensor]


def put(model: torch.nn.Module, merged: State, held: Callable[[], Mapping[str, object]]) -> None:
    """Load ``merged`` into ``model``; on return the model computes with these values.

    Args:
        model: the program's module.
        merged: the merged tensors, under the names of ``held``.
        held: reads what the model shares now, by name; the tensors are the model's own.

    Raises:
        SwarmError: the model refused it, took other names, kept its own values, or replaced its parameters, which
            its optimizer would not notice.
    """
    kind = type(model).__name__
    before = dict(model.named_parameters())
    try:
        answer = _loaded(model, merged)
    except Exception as fault:  # the program's own code
        raise SwarmError(f"{kind}.load_state_dict does not take the merged model: {_line(fault)}") from None
    unknown = [name for name in getattr(answer, "unexpected_keys", None) or () if name in merged]
    if unknown:
        raise SwarmError(
            f"{kind}.state_dict() gives {_some(unknown)}, which its load_state_dict does not know: the model would"
            " train on without the swarm. Let both speak of the same names, or hand the part that is shared to the"
            " callback (model=net.part)."
        )
    replaced = [name for name, one in model.named_parameters() if name in before and one is not before[name]]
    if replaced:
        raise SwarmError(
            f"{kind}.load_state_dict puts new parameters in the place of {_some(replaced)}, and the optimizer would"
            " go on with the old ones: it must copy into those that are there (no assign=True)."
        )
    now = held()
    other = [name for name, value in merged.items() if not _took(now.get(name), value)]
    if other:
        raise SwarmError(
            f"{kind} has not the merged values of {_some(other)} after they were loaded: its state_dict or"
            " load_state_dict, or a hook of theirs, keeps or changes them, so it would train without the swarm."
        )
    apart = list(_apart(model, now, merged))
    if apart:
        raise SwarmError(
            f"{kind}.state_dict() gives {_some(apart)}, but no parameter or buffer of the model has these values: it"
            " computes with others, and would train without the swarm."
        )


def _loaded(model: torch.nn.Module, merged: State) -> object:
    """What load_state_dict answers; an override that knows no ``strict`` gets everything that it gave out."""
    if _knows_strict(model):
        return model.load_state_dict(dict(merged), strict=False)
    whole = dict(model.state_dict())
    aliases = {
        _place(whole[name]): value for name, value in merged.items() if isinstance(whole.get(name), torch.Tensor)
    }
    for name, value in whole.items():
        if name not in merged and isinstance(value, torch.Tensor):
            whole[name] = aliases.get(_place(value), value)
    return model.load_state_dict({**whole, **merged})


def _knows_strict(model: torch.nn.Module) -> bool:
    taken = inspect.signature(model.load_state_dict).parameters.values()
    return any(one.name == "strict" or one.kind is inspect.Parameter.VAR_KEYWORD for one in taken)


def _took(held: object, value: torch.Tensor) -> bool:
    return isinstance(held, torch.Tensor) and held.shape == value.shape and same_values(held, value)


def same_values(held: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether ``held`` has the values of ``value`` in its own type; NaN is equal to NaN."""
    own, other = held.detach().cpu(), value.detach().cpu().to(held.dtype)
    if torch.equal(own, other):
        return True
    return (
        own.is_floating_point()
        and bool(torch.equal(own.isnan(), other.isnan()))
        and torch.equal(own.nan_to_num(), other.nan_to_num())
    )


def _apart(model: torch.nn.Module, now: Mapping[str, object], merged: State) -> Iterator[str]:
    """Names of a model's parameters for which it gives out copies that do not follow it.

    A name of state_dict() is nearly always a parameter or buffer, or shares its memory. Where an override gives out
    copies, the parameter of that shape that has the merged values is looked for.
    """
    own = [one.detach() for one in (*model.parameters(), *model.buffers())]
    places = {_place(one) for one in own}
    for name in merged:
        value = now[name]
        if not isinstance(value, torch.Tensor) or _place(value) in places or not own:
            continue
        if not any(one.numel() == value.numel() for one in own):
            continue  # packed or computed state, that has no parameter of its size: nothing to compare it with
        if not any(one.shape == value.shape and same_values(one, value.to(one.dtype)) for one in own):
            yield name


def unshared(model: torch.nn.Module, shared: Mapping[str, object]) -> Sequence[str]:
    """Names of trained parameters that are no part of what is shared (and so stay this site's own)."""
    places = {_place(one) for one in shared.values() if isinstance(one, torch.Tensor)}
    if not any(_place(one) in places for one in model.parameters()):
        return []  # copies are given out: which belongs to which is not to be told
    return [name for name, one in model.named_parameters() if one.requires_grad and _place(one) not in places]


def _place(value: torch.Tensor) -> tuple[object, ...]:
    return (value.data_ptr() or id(value), tuple(value.shape), value.dtype)


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMES_MAX
    return ", ".join(names[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def _line(fault: BaseException) -> str:
    return " ".join(str(fault).split())[:300] or type(fault).__name__

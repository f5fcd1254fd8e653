"""How many processes train at this site: the swarm talks to one."""

from __future__ import annotations

from collections.abc import Mapping

import torch

__all__ = ["several_ranks"]


def several_ranks(environment: Mapping[str, str]) -> str:
    """What is wrong with a program that trains in several processes, in one sentence; nothing where it is one.

    Each of them would open a session of its own with the SL, and train on from a model of its own: so it is told
    before the first of them does. torchrun, accelerate and mpirun under PyTorch say WORLD_SIZE and RANK.
    """
    group = torch.distributed
    if group.is_available() and group.is_initialized():
        count, rank = int(group.get_world_size()), str(group.get_rank())
    else:
        size = environment.get("WORLD_SIZE", "")
        count, rank = int(size) if size.isdecimal() and "RANK" in environment else 1, environment.get("RANK", "")
    if count < 2:
        return ""
    return (
        f"this site trains in {count} processes (this is rank {rank[:10]}), and a site of the swarm is one: start it as"
        " one process (torchrun --nproc-per-node=1, accelerate launch --num_processes=1), with DataParallel for several"
        " GPUs."
    )

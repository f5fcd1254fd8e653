"""Swarm callback for the Trainer of transformers: the whole model is shared, or with peft only its adapter.

Rows K01, K09, K10, K13, K18, X08. Syncs are counted in optimizer steps; the Trainer is never stopped because the swarm
is over. What PyTorch models have in common is ``pyt``'s.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ._optional import framework

with framework("swarmlearning.hf_transformers", "torch", "transformers", install="transformers accelerate torch"):
    import torch
    from torch.utils.data import default_collate
    from transformers import TrainerCallback, default_data_collator

from .client.swarm import DEFAULT_TRAINING_CONTRACT, SLPlatforms, SwarmError
from .pyt import Context, TorchCallback

__all__ = ["SwarmCallback", "SwarmError"]

MODES = ("full", "peft")


class SwarmCallback(TrainerCallback, TorchCallback):
    """Pass it to ``Trainer(callbacks=[...])``.

    Args:
        syncFrequency: optimizer steps between two syncs; steps of gradient accumulation in between do not count.
        minPeers: members that a round needs.
        trainingContract: name of the job.
        model: the model; the Trainer's if not given.
        hfMode: "full" shares all of the model; "peft" only the active adapter of a PeftModel, with the modules that
            are trained along with it. Parameters that are tied to each other travel once.
        adsValData: validation data: a dataset (batches are made as the Trainer makes its own), a DataLoader,
            (x, y), a generator of batches, or a list of them. The loss is the model's own, given labels, unless
            lossFunction names another.
        kwargs: the arguments of ``swarmlearning.pyt.TorchCallback``.

    Raises:
        SwarmError: an argument is wrong, or the SL cannot be reached or refuses.
    """

    _trainers_batch: Any = None
    _has_own_loss = True

    def __init__(
        self,
        syncFrequency: Any = None,
        minPeers: Any = None,
        trainingContract: str = DEFAULT_TRAINING_CONTRACT,
        **kwargs: Any,
    ) -> None:
        TorchCallback.__init__(self, syncFrequency, minPeers, trainingContract, **kwargs)

    def on_train_begin(self, args: Any = None, state: Any = None, control: Any = None, **kwargs: Any) -> None:
        """Trainer hook: all members start from one model."""
        if self.mlCtx.model is None:
            self._take(kwargs.get("model"))
        self._sees_training_data(kwargs.get("train_dataloader"))
        self._trainers_batch = getattr(kwargs.get("train_dataloader"), "collate_fn", None)
        self._swarmOnTrainBegin()

    def on_step_end(self, args: Any = None, state: Any = None, control: Any = None, **kwargs: Any) -> None:
        """Trainer hook: counts the optimizer's step, syncs when it is time."""
        self._swarmOnBatchEnd()

    def on_epoch_end(self, args: Any = None, state: Any = None, control: Any = None, **kwargs: Any) -> None:
        """Trainer hook: counts the epoch; a program that was restarted ends with the epoch that was planned."""
        self._swarmOnEpochEnd()
        if self.resumedEpoch and control is not None and self.epochsCompleted >= args.num_train_epochs:
            control.should_training_stop = True

    def on_train_end(self, args: Any = None, state: Any = None, control: Any = None, **kwargs: Any) -> None:
        """Trainer hook: returns when the whole swarm has finished, with its final model loaded."""
        self._swarmOnTrainEnd()

    def _verifyAndSetPlatformContext(self, params: Mapping[str, Any]) -> None:
        allowed = (SLPlatforms.HF_TRANSFORMER.name, SLPlatforms.PYTORCH.name)
        platform = params.get("ml_platform", params.get("mlPlatform", SLPlatforms.HF_TRANSFORMER.name))
        if getattr(platform, "name", platform) not in allowed:
            self._logAndRaiseError(f"ml_platform is {platform!r}, this callback is for HF_TRANSFORMER.")
        self.mlPlatform = SLPlatforms.HF_TRANSFORMER
        mode = str(params.get("hfMode") or MODES[0]).lower()
        if mode not in MODES:
            self._logAndRaiseError(f"hfMode is {params.get('hfMode')!r}, it must be one of {', '.join(MODES)}.")
        self.hfMode = mode
        self.mlCtx = Context(None)
        self.model: Any = None
        if params.get("model") is not None:
            self._take(params["model"])

    def _take(self, model: Any) -> None:
        if not isinstance(model, torch.nn.Module):
            self._logAndRaiseError(f"model is {type(model).__name__}, it must be a torch.nn.Module.")
        self.model = model
        self.mlCtx = Context(model)
        is_peft = hasattr(self._shared_model(), "peft_config")
        if self.hfMode == "peft":
            if not is_peft:
                self._logAndRaiseError(
                    f"hfMode is peft but model is a {type(self._shared_model()).__name__} without an adapter: hand over"
                    " what get_peft_model returned, or leave hfMode out."
                )
            self._adapter()
        elif is_peft:
            self.logger.warning("The whole model is shared, not only its adapter: hfMode='peft' shares the adapter.")

    # ---- what travels

    def _adapter(self) -> str:
        active = getattr(self._shared_model(), "active_adapters", None)
        active = active() if callable(active) else active
        names = [active] if isinstance(active, str) else list(active or [])
        if len(names) != 1:
            self._logAndRaiseError(f"{len(names)} adapters are active ({', '.join(names)}): one can be shared.")
        return str(names[0])

    def _shared_state(self) -> Mapping[str, Any]:
        if self.hfMode == "peft":
            with framework("hfMode='peft'", "peft", install="peft"):
                from peft import get_peft_model_state_dict
            state: Mapping[str, Any] = get_peft_model_state_dict(
                self._shared_model(), adapter_name=self._adapter(), save_embedding_layers=False
            )
            return state
        found: dict[str, Any] = {}
        seen: set[Any] = set()
        for name, value in super()._shared_state().items():
            if isinstance(value, torch.Tensor) and value.data_ptr():
                where = (value.data_ptr(), value.shape, value.stride(), value.dtype)
                if where in seen:
                    continue
                seen.add(where)
            found[name] = value
        return found

    def _put_state(self, merged: dict[str, torch.Tensor]) -> None:
        if self.hfMode != "peft":
            super()._put_state(merged)
            return
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(self._shared_model(), dict(merged), adapter_name=self._adapter())
        held = self._shared_state()
        for name, value in merged.items():
            if not torch.equal(held[name].detach().cpu(), value.to(held[name].dtype)):
                self._logAndRaiseError(f"peft did not take the merged {name}: its version does not fit this adapter.")

    # ---- how good it is

    def _collate(self, samples: list[Any]) -> Any:
        if self._trainers_batch is not None:
            return self._trainers_batch(samples)
        if not isinstance(samples[0], Mapping):
            return default_collate(samples)
        batch = default_data_collator(samples)
        model = self._shared_model()
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        taken = inspect.signature(inner.forward).parameters
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()) and "input_ids" not in taken:
            return batch
        return {name: value for name, value in batch.items() if name in taken}

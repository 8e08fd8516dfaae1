"""The model that is trained: from random weights, from a folder, or a LoRA adapter on a folder's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from freehold.domain.errors import TrainingError
from freehold.serving.folder import ADAPTER, MODEL
from freehold.train.generative.spec import BaseStart, ScratchStart, Spec, disk_error
from freehold.train.recipes import Adapter, Recipe, Scratch

torch: Any = import_module("torch")
_SafetensorError: type[Exception] = import_module("safetensors").SafetensorError

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "smollm3", "olmo2", "phi3")
"""Decoders whose logits are plainly `head(hidden)`: the loop takes them at the tokens that are learned only."""
_ROPE_BASE = 10_000.0
_INITIAL_RANGE = 0.02
_DROPPED = ("embed_tokens", "o_proj", "down_proj")
"""Modules whose output goes into the sum that layers pass on."""


class Built(NamedTuple):
    """A model, ready to train."""

    causal: Any
    """The transformers model; with an adapter, LoRA layers lie in it."""
    wrapped: Any
    """The peft model around it, or None."""
    trained: dict[str, Any]
    """Name → parameter that learns, in a fixed order."""
    parameters: int
    """Of all, trained or not; shared ones once."""
    saved_as: Any
    """The type that full weights are stored in."""


def build(spec: Spec, device: Any) -> Built:
    """Make the model of a spec; the same one each time, whatever was drawn before.

    Raises:
        TrainingError: the base folder cannot be read, or is not of a family that can be trained.
    """
    torch.manual_seed(spec.seed)
    if isinstance(spec.start, ScratchStart):
        assert isinstance(spec.recipe.model, Scratch)
        causal = _from_scratch(spec.recipe, spec.recipe.model, spec.start)
    else:
        causal = _from_folder(spec.start, frozen=spec.recipe.adapter is not None, device=device)
    saved_as = causal.config.dtype or torch.float32
    wrapped = None if spec.recipe.adapter is None else _with_adapter(causal, spec.recipe.adapter, spec.start)
    causal.to(device)
    causal.config.use_cache = False
    trained = {name: weight for name, weight in causal.named_parameters() if weight.requires_grad}
    return Built(causal, wrapped, trained, sum(weight.numel() for weight in causal.parameters()), saved_as)


def scratch_config(recipe: Recipe, shape: Scratch, start: ScratchStart) -> Any:
    """The transformers configuration of a model from random weights.

    Raises:
        TrainingError: its width cannot be shared among its heads.
    """
    if shape.hidden % (2 * shape.heads):
        raise TrainingError(
            f"hidden = {shape.hidden} cannot be shared among heads = {shape.heads}: each needs an even number.",
            "Set [model] hidden to a multiple of twice its heads.",
        )
    configuration: Any = import_module("transformers.models.qwen3.configuration_qwen3")
    return configuration.Qwen3Config(
        vocab_size=start.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.hidden // shape.heads,
        max_position_embeddings=recipe.data.context,
        rope_parameters={"rope_type": "default", "rope_theta": _ROPE_BASE},
        initializer_range=_INITIAL_RANGE,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=start.end,
        pad_token_id=start.pad,
        attn_implementation="sdpa",
        dtype="float32",
    )


def base_config(folder: Path) -> Any:
    """The configuration of a base model.

    Raises:
        TrainingError: there is none, or it is of a family that cannot be trained here.
    """
    automatic: Any = import_module("transformers.models.auto.configuration_auto")
    try:
        config = automatic.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"The base model in {folder} cannot be read: {_first_line(error)}",
            f"It must be a Hugging Face folder of one of these families: {', '.join(FAMILIES)}.",
        ) from error
    if config.model_type not in FAMILIES:
        raise TrainingError(
            f"The base model in {folder} is of the family {config.model_type}, which cannot be trained here.",
            f"Use one of these families: {', '.join(FAMILIES)}; or a recipe from scratch, which needs no base.",
        )
    return config


def save(built: Built, folder: Path, start: ScratchStart | BaseStart) -> Path:
    """Write `folder/model` or `folder/adapter`, replacing what is there; returns the safetensors file.

    Raises:
        TrainingError: the disk is full.
    """
    target = folder / (MODEL if built.wrapped is None else ADAPTER)
    draft = target.with_name(target.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        if built.wrapped is None:
            _save_full(built, draft)
        else:
            _save_adapter(built, draft, start)
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
    except Exception as error:
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, (OSError, _SafetensorError)):
            raise disk_error(target, error) from error
        raise
    return target / ("model.safetensors" if built.wrapped is None else "adapter_model.safetensors")


def _from_scratch(recipe: Recipe, shape: Scratch, start: ScratchStart) -> Any:
    modeling: Any = import_module("transformers.models.qwen3.modeling_qwen3")
    causal = modeling.Qwen3ForCausalLM(scratch_config(recipe, shape, start))
    if shape.dropout:
        for name, module in causal.named_modules():
            if name.endswith(_DROPPED):
                module.register_forward_hook(_dropping(shape.dropout))
    return causal


def _dropping(share: float) -> Callable[[Any, Any, Any], Any]:
    """A hook, as the configuration has no field for it: it is none of the model's that is stored."""

    def drop(module: Any, _given: Any, output: Any) -> Any:
        return output * _kept(output, share) if module.training else output

    return drop


def _kept(values: Any, share: float) -> Any:
    """What dropout multiplies `values` by. A byte is drawn for each, eight at a time, and the share is so many 256ths:
    torch's own draws a number for each, which took a twelfth of a small model's step."""
    count, least = values.numel(), max(1, round(256 * share))
    drawn = torch.empty(-(-count // 8), dtype=torch.int64, device=values.device).random_(-(2**63), None)
    kept = (drawn.view(torch.uint8)[:count] >= least).view(values.shape)
    return kept.to(values.dtype) / (1 - least / 256)


def _from_folder(start: BaseStart, frozen: bool, device: Any) -> Any:
    folder = Path(start.folder)
    config = base_config(folder)
    if not any(folder.glob("*.safetensors")):
        raise TrainingError(
            f"The base model in {folder} has no safetensors: other weights are pickles, which can run code.",
            "Convert it with safetensors, or take a base that has them.",
        )
    stored = config.dtype
    # Frozen weights need no more digits than they are stored with; those that learn do, or small steps are lost.
    dtype = torch.bfloat16 if frozen and device.type == "cuda" else torch.float32
    automatic: Any = import_module("transformers.models.auto.modeling_auto")
    try:
        causal = automatic.AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation="sdpa",
        )
    except (OSError, ValueError, RuntimeError, KeyError, _SafetensorError) as error:
        raise TrainingError(
            f"The weights of the base model in {folder} cannot be read: {_first_line(error)}",
            "Fetch it again with `freehold models fetch`, or name another base.",
        ) from error
    causal.config.dtype = stored or dtype
    return causal


def _with_adapter(causal: Any, adapter: Adapter, start: ScratchStart | BaseStart) -> Any:
    peft: Any = import_module("peft")
    if isinstance(start, BaseStart) and start.adapter:
        return _with_known_adapter(causal, Path(start.adapter))
    config = peft.LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=list(adapter.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        return peft.get_peft_model(causal, config)
    except ValueError as error:
        raise TrainingError(
            f"The adapter does not fit the base model: {_first_line(error)}",
            "Set [adapter] targets to layers that the base has.",
        ) from error


def _with_known_adapter(causal: Any, folder: Path) -> Any:
    peft: Any = import_module("peft")
    if not (folder / "adapter_model.safetensors").is_file():
        raise TrainingError(f"There is no adapter in safetensors in {folder}.", "Train one first, by method sft.")
    try:
        return peft.PeftModel.from_pretrained(causal, folder, is_trainable=True, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, _SafetensorError) as error:
        raise TrainingError(
            f"The adapter in {folder} does not fit its base: {_first_line(error)}",
            "Name the base that it was trained for, or train a new one.",
        ) from error


def _save_full(built: Built, draft: Path) -> None:
    causal = built.causal
    if built.saved_as != torch.float32:
        causal = causal.to(built.saved_as)
    causal.config.use_cache = True
    if causal.generation_config is not None:
        causal.generation_config.use_cache = True
    causal.save_pretrained(draft, max_shard_size="10TB")


def _save_adapter(built: Built, draft: Path, start: ScratchStart | BaseStart) -> None:
    base = Path(start.folder).name if isinstance(start, BaseStart) else ""
    built.wrapped.peft_config["default"].base_model_name_or_path = base
    built.wrapped.save_pretrained(
        draft, safe_serialization=True, save_embedding_layers=False, selected_adapters=["default"]
    )
    (draft / "README.md").unlink(missing_ok=True)
    # peft writes sets as lists in any order; the file is to be the same each time.
    config = draft / "adapter_config.json"
    told = msgspec.json.decode(config.read_bytes(), type=dict[str, Any])
    told["target_modules"] = sorted(told["target_modules"])
    config.write_bytes(msgspec.json.format(msgspec.json.encode(told, order="sorted"), indent=2))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

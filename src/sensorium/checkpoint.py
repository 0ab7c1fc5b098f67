"""What stands in a checkpoint beside the weights: which parts a model has, with their settings, and how they are made.

The folder holds model.json, model.safetensors, `processors/` by encoder and, of a model with experts, `experts/`.
"""

from pathlib import Path
from typing import Any

from torch import nn

from sensorium.data.schema import Schema
from sensorium.encoders import ENCODERS
from sensorium.errors import lookup
from sensorium.experts import EXPERTS
from sensorium.experts.together import Experts
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.nn.projection import Projection


def describe_parts(model: Any, folder: Path) -> dict[str, Any]:
    """What model.json says of a Model; writes into `folder` what it refers to."""
    for index, encoder in enumerate(model.encoders.modules_once):
        if encoder.processor is not None:
            processor_folder = folder / "processors" / str(index)
            processor_folder.mkdir(parents=True)
            encoder.processor.save(processor_folder)
    described = {
        "encoders": [
            _describe_module(ENCODERS, encoder)
            | {"summary_only": encoder.summary_only, "processor": encoder.processor is not None}
            for encoder in model.encoders.modules_once
        ],
        "inputs": model.encoders.index,
        "projections": {name: projection.shape for name, projection in model.projections.items()},
        "fusion": None if model.fusion is None else _describe_module(FUSIONS, model.fusion),
        "heads": {name: _describe_head(head, folder, i) for i, (name, head) in enumerate(model.heads.items())},
        "temperature": hasattr(model, "logit_scale"),
        "logit_bias": hasattr(model, "logit_bias"),
        "schema": None if model.schema is None else model.schema.model_dump(),
    }
    return described if model.experts is None else described | {"experts": model.experts.save(folder / "experts")}


def assemble_parts(described: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The arguments of the Model that model.json describes, its weights untrained; its processors and experts are read
    from `folder`.
    """
    modules = []
    for index, entry in enumerate(described["encoders"]):
        encoder_class = lookup(ENCODERS, "encoder", entry["name"])
        processor_folder = folder / "processors" / str(index)
        processor = encoder_class.Processor.load(processor_folder) if entry["processor"] else None
        config = encoder_class.Config(**entry["config"])
        modules.append(encoder_class(config, processor, summary_only=entry["summary_only"]))
    encoders = {name: modules[index] for name, index in described["inputs"].items()}
    dims = {name: encoder.dim for name, encoder in encoders.items()}
    fusion = described["fusion"]
    if fusion is not None:
        fusion_class = lookup(FUSIONS, "fusion", fusion["name"])
        fusion = fusion_class(fusion_class.Config(**fusion["config"]), dims)
    heads = {}
    for name, entry in described["heads"].items():
        head_class = lookup(HEADS, "head", entry["name"])
        parts = [head_class.Config(**entry["config"]), fusion.dim]
        if entry.get("processor") is not None:  # no head of checkpoints from before there were any has one
            parts.append(head_class.Processor.load(folder / "processors" / entry["processor"]))
        heads[name] = head_class(*parts)
    experts = described.get("experts")
    return {
        "encoders": encoders,
        "projections": {name: Projection(*sizes) for name, sizes in described["projections"].items()},
        "fusion": fusion,
        "heads": heads,
        "temperature": 1.0 if described["temperature"] else None,
        "schema": None if described["schema"] is None else Schema(**described["schema"]),
        # Checkpoints from before it existed do not name it.
        "logit_bias": 0.0 if described.get("logit_bias") else None,
        "experts": None if experts is None else Experts.load(experts, EXPERTS, folder / "experts"),
    }


def _describe_head(head: nn.Module, folder: Path, index: int) -> dict[str, Any]:
    """What model.json says of a head; its processor, if it has one, goes into a folder of its own."""
    described, name = _describe_module(HEADS, head), f"head-{index}"
    if getattr(head, "processor", None) is None:
        return described
    (folder / "processors" / name).mkdir(parents=True)
    head.processor.save(folder / "processors" / name)
    return described | {"processor": name}


def name_of(registry: dict[str, type], module: nn.Module) -> str:
    """The name under which the class of `module` stands in its room's dictionary."""
    return next(name for name, module_class in registry.items() if module_class is type(module))


def _describe_module(registry: dict[str, type], module: nn.Module) -> dict[str, Any]:
    return {"name": name_of(registry, module), "config": module.config.model_dump(mode="json")}

"""Model = encoders + projections + fusion + heads: encode, fuse, decide; predict and embed records; save and load."""

import copy
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sensorium.checkpoint import assemble_parts, describe_parts, name_of
from sensorium.data.notebook import facts_html, facts_text, schema_facts
from sensorium.data.read import read
from sensorium.data.records import Processor, Records, Unread
from sensorium.data.records import load as load_batches
from sensorium.data.schema import MEDIA, Schema
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.errors import UserError, check_known, unknown
from sensorium.experts.together import Experts
from sensorium.experts.views import read_view
from sensorium.features import Batch, Features, first_of_each, rows_of, scatter
from sensorium.files import recover, whole_folder
from sensorium.fusion import FUSIONS
from sensorium.heads.decoded import to_frame
from sensorium.nn.named import Named
from sensorium.nn.precision import wide
from sensorium.nn.prepacked import can_prepack, prepack
from sensorium.nn.projection import Projection
from sensorium.nn.torch_state import usual_torch
from sensorium.nn.tower import Tower
from sensorium.nn.weight_limit import limit_weights

# What reading a folder that is no whole checkpoint may raise.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, MemoryError, ArithmeticError)
_DAMAGE += (SafetensorError,)
RecordSource = Table | pd.DataFrame | Mapping[str, Any] | Iterable[Mapping[str, Any]] | str | Path
"""What a model reads records from: a table, whatever `read` takes as one, dicts, or a file or folder."""

Decide = Callable[[Batch, Features], dict[str, dict[str, Tensor]]]


class Model(nn.Module):
    """Encoders keyed by input name, projections into a shared space, a fusion, and heads keyed by target name.

    Two inputs may share one encoder: pass the same module twice. `temperature` gives the model a learned `logit_scale`
    (its logarithm's inverse, as in CLIP), `logit_bias` a learned bias of that start beside it (as in SigLIP), `schema`
    what it needs to read records. A head whose config says `tied` shares the words of that input's encoder. `experts`
    that are not networks add their tokens to the fused ones; without them the fusion's stand alone.
    """

    def __init__(
        self,
        encoders: dict[str, nn.Module],
        projections: dict[str, Projection] | None = None,
        fusion: nn.Module | None = None,
        heads: dict[str, nn.Module] | None = None,
        temperature: float | None = None,
        schema: Schema | None = None,
        logit_bias: float | None = None,
        experts: Experts | None = None,
    ):
        super().__init__()
        self.encoders = Named(encoders)
        self.projections = Named(projections or {})
        self.fusion = fusion
        self.heads = Named(heads or {})
        for _, head in self.heads.items():
            if getattr(head, "tied", None) is not None:
                head.tie(self.encoders[head.tied])
        if temperature is not None:
            self.logit_scale = nn.Parameter(-torch.tensor(temperature).log())
        if logit_bias is not None:
            self.logit_bias = nn.Parameter(torch.tensor(float(logit_bias)))
        self.schema = schema
        self.experts = experts

    @property
    def _facts(self) -> dict[str, str]:
        fusion = {} if self.fusion is None else {"fusion": name_of(FUSIONS, self.fusion)}
        return schema_facts(self.schema) | fusion | {"parameters": f"{sum(map(Tensor.numel, self.parameters())):,}"}

    def __repr__(self) -> str:
        return facts_text("Model", self._facts)

    def _repr_html_(self) -> str:
        return facts_html("Model", self._facts)

    def train(self, mode: bool = True) -> "Model":
        """Training mode for what is trained; an encoder without trainable weights stays in evaluation mode."""
        self.training = mode
        for module in (self.projections, self.fusion, self.heads):
            if module is not None:
                module.train(mode)
        for encoder in self.encoders.modules_once:
            encoder_mode = mode and not is_frozen(encoder)
            # Going through a large frozen encoder takes longer than a small model's step.
            if encoder.training != encoder_mode:
                encoder.train(encoder_mode)
        return self

    def for_inference(self) -> "Model":
        """A copy in evaluation mode whose towers hold their matrices in the layout of this CPU's bfloat16 kernels. It
        shares all other weights, and is neither trained nor saved. Without such kernels it is the model itself."""
        if self.device.type != "cpu" or not can_prepack():
            return self.eval()
        shared = {id(tensor): tensor for tensor in (*self.parameters(), *self.buffers())}
        copied = copy.deepcopy(self, shared).eval()
        for encoder in copied.encoders.modules_once:
            if isinstance(getattr(encoder, "tower", None), Tower):
                prepack(encoder)
        return copied

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def processors(self) -> dict[str, Processor]:
        """By input, what makes tensors of its values; and by target, where its head has one."""
        of_inputs = {
            name: Unread(name) if encoder.processor is None else encoder.processor
            for name, encoder in self.encoders.items()
        }
        of_targets = {name: getattr(head, "processor", None) for name, head in self.heads.items()}
        return {name: processor for name, processor in of_targets.items() if processor is not None} | of_inputs

    @property
    def decides(self) -> bool:
        """Whether it decides on targets of records; a head for training alone, such as `match`, decides on none."""
        return len(self.heads) > 0 and (self.schema is None or len(self.schema.targets) > 0)

    def encode(
        self, inputs: dict[str, dict[str, Tensor] | Features], ids: dict[str, Tensor] | None = None
    ) -> dict[str, Features]:
        """Features of each input or view (`caption/masked` is read by the encoder of `caption`).

        Absent rows never reach an encoder: they are dropped before it, and zeros fill their rows after it. What arrives
        as Features is returned as it is. ids: by input or view, int64 [B], which identify its contents: pictures and
        other media of one content are encoded once, and so are views that have ids of their own. Views of a text that
        are padded to one length are encoded in one pass.
        Raises UserError for an input the model does not have.
        """
        passes: dict[tuple, list[str]] = {}  # views that are encoded together
        for view, value in inputs.items():
            name = self.input_of(view)
            joins = self.encoders[name].modality == "text" and not isinstance(value, Features) and "tokens" in value
            passes.setdefault((name, value["mask"].shape) if joins else (view,), []).append(view)
        features = {}
        for views in passes.values():
            if len(views) > 1:
                tensors = [inputs[view] for view in views]
                shared_keys = set(tensors[0]).intersection(*tensors)
                stacked = {key: torch.cat([view_tensors[key] for view_tensors in tensors]) for key in shared_keys}
                features |= zip(views, self._encode(views[0], stacked).chunk(len(views)), strict=True)
            else:
                features[views[0]] = self._encode(views[0], inputs[views[0]], (ids or {}).get(views[0]))
        return {view: features[view] for view in inputs}

    def _encode(self, view: str, value: dict[str, Tensor] | Features, ids: Tensor | None = None) -> Features:
        name = self.input_of(view)
        if isinstance(value, Features):
            return value
        if self.experts is not None and view in self.experts.processors:
            return read_view(value)
        encoder = self.encoders[name]
        present = value["mask"].any(dim=1)
        rows = present.nonzero()[:, 0]  # [present rows]
        if len(rows):
            by_content = ids is not None and (encoder.modality in MEDIA or view != name)
            content_ids = ids[rows] if by_content else None
            if len(rows) == len(present):
                return self._run(encoder, value, content_ids)
            return scatter(self._run(encoder, rows_of(value, rows), content_ids), rows, len(present))
        if self.training and not is_frozen(encoder):
            # Every process has to enter the same modules, so one dummy row runs and counts for nothing.
            dummy = {key: tensor[:1] for key, tensor in value.items()} | {"mask": torch.ones_like(value["mask"][:1])}
            return encoder(dummy).take(torch.zeros_like(present, dtype=torch.long)).where(present)
        pooled = torch.zeros(len(present), encoder.dim, device=present.device)
        return Features.one(pooled, present)

    def input_of(self, view: str) -> str:
        """The input that `view` is of. Raises UserError when the model does not have it."""
        name = view if view in self.encoders else view.rsplit("/", 1)[0]
        if name not in self.encoders:
            raise unknown("input", view, self.encoders.names)
        return name

    def _run(self, encoder: nn.Module, inputs: dict[str, Tensor], ids: Tensor | None = None) -> Features:
        """The features of every row; rows of one id, int64 [B], are encoded once."""
        if ids is not None and len(ids.unique()) < len(ids):
            first, inverse = first_of_each(ids[:, None])
            return self._run(encoder, rows_of(inputs, first)).take(inverse)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not is_frozen(encoder)):
            return encoder(inputs)

    def embedding(self, view: str, features: Features) -> Tensor:
        """float32 [B, E], of a float64 model float64, unit length (zero where absent): pooled features, through the
        input's projection if any."""
        name = self.input_of(view)
        pooled = self.projections[name](features.pooled) if name in self.projections else features.pooled
        return torch.where(features.present[:, None], nn.functional.normalize(wide(pooled), dim=-1), 0.0)

    def embedding_width(self, name: str) -> int:
        """E, the width of the embeddings of the input `name`."""
        return self.projections[name].out_features if name in self.projections else self.encoders[name].dim

    def fuse(self, features: dict[str, Features], **asked: Any) -> Features:
        """One Features of all inputs. `asked`: what a fusion with a method `asked` takes beside them."""
        fused = self.fusion({name: features[name] for name in self.encoders.names}, **asked)
        return fused if self.experts is None else self.experts(fused, features)

    def decide(self, fused: Features, without: Collection[str] = ()) -> dict[str, dict[str, Tensor]]:
        """By target, except those of `without`: `decision` [B] and, for classes, `probabilities` [B, K]. A row without
        inputs gets the prior."""
        return {name: head.predict(fused) for name, head in self.heads.items() if name not in without}

    def batches(self, table: Table, batch_size: int = 64, workers: int = 0) -> Iterator[Batch]:
        """The records of `table` in order, `batch_size` at a time, on the model's device."""
        items = ((rows, None) for rows in _chunks(len(table), batch_size))
        for batch in load_batches(self.viewed(Records(table, self.processors)), items, workers):
            yield batch.to(self.device)

    def viewed(self, records: Records) -> Records:
        """`records` with what the model's experts read beside the inputs."""
        return records if self.experts is None else self.experts.viewed(records)

    def readers(self, name: str) -> dict[str, Processor]:
        """What makes tensors of the values of the input `name`: for its encoder, and for views that experts read."""
        views = {} if self.experts is None else self.experts.processors
        of_input = {view: processor for view, processor in views.items() if self.input_of(view) == name}
        return {name: self.processors[name]} | of_input

    @usual_torch()
    def predict(self, records: RecordSource, batch_size: int = 64) -> list[dict[str, Any]] | pd.DataFrame:
        """For each record the decision on each target, and which inputs were absent.

        Of dicts, a list of dicts; classes carry `probabilities` by label. Of any table or file a data frame, a row a
        record: `key`, `<target>`, `<target>_probability_<label>`, `absent`. Raises UserError for a value of the wrong
        kind, a file that cannot be read, or a model without heads.
        """
        table = self.read(records)
        predicted = self.predict_records(table, batch_size)
        is_table = isinstance(records, Table | pd.DataFrame | Mapping | str | Path)
        if not is_table and not hasattr(records, "__arrow_c_stream__"):
            return predicted
        return to_frame(table.keys, predicted, records.index if isinstance(records, pd.DataFrame) else None)

    @torch.no_grad()
    def predict_records(
        self, records: RecordSource, batch_size: int = 64, decide: Decide | None = None
    ) -> list[dict[str, Any]]:
        """For each record a dict, as `predict` gives it of dicts. decide: what gives the heads' predictions of a batch
        and its fused features, in the place of `Model.decide`.
        """
        if not self.decides:
            raise UserError(
                "This model aligns inputs and decides on no target; take sensorium classify or index, or embed() in"
                " Python."
            )
        table = self.read(records)
        self.eval()
        results = []
        for batch in self.batches(table, batch_size):
            fused = self.fuse(self.encode(batch.inputs))
            decisions = self.decide(fused) if decide is None else decide(batch, fused)
            absent = {name: (~batch.present(name)).tolist() for name in self.encoders.names}
            decoded = {
                target.name: self.heads[target.name].decode(decisions[target.name], target.labels)
                for target in self.schema.targets
            }
            for target in (target for target in self.schema.targets if target.picture is not None):
                for row, values in enumerate(decoded[target.name], len(results)):
                    values["size"] = table.picture_size(target, row)
            for row in range(len(batch.keys)):
                result = {name: values[row] for name, values in decoded.items()}
                results.append(result | {"absent": [name for name, is_absent in absent.items() if is_absent[row]]})
        return results

    @usual_torch()
    @torch.no_grad()
    def embed(self, records: RecordSource, name: str, batch_size: int = 64) -> np.ndarray:
        """float32 [N, E], unit length: the embedding of input `name` of each record; zeros where it is absent."""
        check_known(self.encoders.names, "input", name)
        self.eval()
        embeddings = [
            self.embedding(name, self._encode(name, batch.inputs[name])).cpu().numpy()
            for batch in self.batches(self.read(records), batch_size)
        ]
        return np.concatenate(embeddings)  # [N, E]

    def read(self, records: RecordSource) -> Table:
        """`records` as a table of this model's schema. Raises UserError when the model has none, or a value is of a
        wrong kind."""
        if isinstance(records, Table) and records.schema is self.schema:
            return records
        if self.schema is None:
            raise UserError("This model has no schema, so it cannot read records; give it tensors through encode().")
        if isinstance(records, Table):
            return read(records.frame, schema=self.schema, root=records.root, rows=records.rows)
        return read(records, schema=self.schema)

    def save(self, folder: str | Path) -> None:
        """Writes the checkpoint `folder`, whole or not at all: weights, parts, processors, schema. Raises UserError
        when the disk refuses."""
        with whole_folder(Path(folder)) as new:
            described = describe_parts(self, new)
            (new / "model.json").write_text(json.dumps(described, indent=1, ensure_ascii=False), "utf-8")
            save_file({key: value.contiguous() for key, value in self.state_dict().items()}, new / "model.safetensors")


@usual_torch()
def load(folder: str | Path) -> Model:
    """The model of a checkpoint's or a run's folder, in evaluation mode. Strict: no weight is missing or unused.

    Raises UserError when the folder is no checkpoint, is incomplete, or its weights do not fit its parts.
    """
    folder = Path(folder)
    recover(folder / "model")
    folder = folder / "model" if (folder / "model" / "model.json").exists() else folder
    recover(folder)
    if not (folder / "model.json").exists():
        raise UserError(
            f"There is no model in {folder}: a run's or a checkpoint's folder holds model.json; has the run finished?"
        )
    try:
        described = json.loads((folder / "model.json").read_text("utf-8"))
        with limit_weights(folder / "model.safetensors"):
            model = Model(**assemble_parts(described, folder))
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except _DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"The checkpoint in {folder} is damaged or incomplete ({reason}); bring a whole copy, or fit again."
        ) from error
    return model.eval()


class HasModel(Protocol):
    """Anything with a model, such as the Run that a fit or a pretraining returns."""

    model: Model


def model_of(source: HasModel | Model | str | Path) -> Model:
    """The model of a run, of a run's or a checkpoint's folder, or as it is. Raises UserError for anything else."""
    if isinstance(source, Model):
        return source
    if isinstance(source, str | Path):
        return load(source)
    model = getattr(source, "model", None)
    if not isinstance(model, Model):
        raise UserError(
            f"A {type(source).__name__} has no model; give a run, a model, or the folder of either, then the records."
        )
    return model


def loss_scored_targets(model: Model) -> list[str]:
    """The targets that are judged by their loss in training and audits; they are decided once, in the report."""
    targets = [] if model.schema is None else model.schema.targets
    return [spec.name for spec in targets if TARGETS[spec.kind].scored_by == "loss"]


def is_frozen(module: nn.Module) -> bool:
    """True when the module has weights and none of them is trained."""
    weights = [parameter.requires_grad for parameter in module.parameters()]
    return bool(weights) and not any(weights)


def _chunks(count: int, size: int) -> Iterator[np.ndarray]:
    return (np.arange(start, min(start + size, count)) for start in range(0, count, size))

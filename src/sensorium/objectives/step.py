"""Step: one batch through one model, everything once."""

from collections.abc import Iterable
from typing import Any, NoReturn

import torch
from torch import Tensor

from sensorium.data.schema import MEDIA
from sensorium.errors import UserError
from sensorium.features import Batch, Features, first_of_each
from sensorium.model import Model


class Step:
    """What objectives read of a batch, each memoised, so that five objectives cost one forward pass.

    `modality_dropout` is the rate at which training hides an input that is there from the fusion, so that the model
    learns to do without it (ModDrop, Neverova et al. 2015, arXiv:1501.00102); the last input of a row is never hidden,
    nor any from a fusion that gives experts: there every input has a token of its own, which would only miss rows.
    `views`, as "text/masked", that will be asked for: each is encoded together with the first of its input's."""

    def __init__(self, model: Model, batch: Batch, modality_dropout: float = 0.0, views: Iterable[str] = ()):
        self.model = model
        self.batch = batch
        self.views = tuple(views)
        mixes = not getattr(model.fusion, "gives_experts", False)
        self._modality_dropout = modality_dropout if model.training and mixes else 0.0
        self._features: dict[str, Features] = {}
        self._embeddings: dict[str, Tensor] = {}
        self._similarities: dict[tuple[str, str], Tensor] = {}
        self._fused: dict[tuple[tuple[str, str], ...], Features] = {}
        self._visible: dict[str, Tensor] | None = None
        self._asked: list[Any] | None = None

    def features(self, view: str) -> Features:
        """Features of an input, or of another view of it (`caption/masked`)."""
        if view not in self._features:
            name = self.model.input_of(view)
            same_input = [view, *(declared for declared in self.views if self.model.input_of(declared) == name)]
            inputs = {same_view: self.batch.inputs[same_view] for same_view in same_input}
            self._features |= self.model.encode(inputs, self.batch.ids)
        return self._features[view]

    def embedding(self, view: str) -> Tensor:
        """float32 [B, E], unit length, zero where absent."""
        if view not in self._embeddings:
            self._embeddings[view] = self.model.embedding(view, self.features(view))
        return self._embeddings[view]

    def similarity(self, a: str, b: str) -> Tensor:
        """float32 [B, B]: cosine of row i of `a` with row j of `b`."""
        if (a, b) not in self._similarities:
            self._similarities[a, b] = self.embedding(a) @ self.embedding(b).T
        return self._similarities[a, b]

    def fused(self, **views: str) -> Features:
        """All inputs fused; `text="text/masked"` reads that view in the place of the input. Where every head says that
        it `reads` what is pooled, a fusion that can leaves the tokens out."""
        key = tuple(sorted(views.items()))
        if key not in self._fused:
            features = self._hide({name: self.features(views.get(name, name)) for name in self.model.encoders.names})
            options: dict[str, Any] = {}
            if self._can_ask(views):
                contexts = zip(self.model.fusion.context, self.asked(), strict=True)
                options["asked"] = [
                    context if self._visible is None else context.where(self._visible[name])
                    for name, context in contexts
                ]
                heads = self.model.heads.items()
                options["summary_only"] = all(getattr(head, "reads", "tokens") == "pooled" for _, head in heads)
            self._fused[key] = self.model.fuse(features, **options)
        return self._fused[key]

    def fused_tokens(self, name: str) -> Features:
        """The part of the fused tokens that the input `name` has, of a fusion with a `token_order`: Features of that
        input's T tokens; `pooled` is of all inputs."""
        fused, order = self.fused(), self.model.fusion.token_order
        counts = [self.features(each).tokens.shape[1] for each in order]
        position = order.index(name)
        tokens, mask = (part.split(counts, dim=1)[position] for part in (fused.tokens, fused.mask))
        return Features(tokens, mask, fused.pooled)

    def asked(self) -> list[Any]:
        """The keys and values of the context inputs, made once for all passes through a fusion that has a leading
        input, and once for all rows of the same contents, such as those of one picture."""
        if self._asked is None:
            fusion = self.model.fusion
            features = {name: self.features(name) for name in fusion.context}
            self._asked = self._asked_once(features) or fusion.asked(features)
        return self._asked

    def _asked_once(self, contexts: dict[str, Features]) -> list[Any] | None:
        """Keys and values of the rows of different contents, repeated for all; None where no two rows share any."""
        if not contexts or not all(self._shares(name) for name in contexts):
            return None
        first, inverse = first_of_each(torch.stack([self.batch.ids[name] for name in contexts], dim=1))
        if len(first) == len(inverse):
            return None
        asked = self.model.fusion.asked({name: context.take(first) for name, context in contexts.items()})
        return [context.take(inverse) for context in asked]

    def _shares(self, name: str) -> bool:
        """Whether rows of one content have the same features, as `Model.encode` makes them."""
        has_ids = name in self.batch.ids and not isinstance(self.batch.inputs[name], Features)
        return has_ids and self.model.encoders[name].modality in MEDIA

    def _can_ask(self, views: dict[str, str]) -> bool:
        fusion = self.model.fusion
        return hasattr(type(fusion), "asked") and not views.keys() & set(fusion.context)

    def _hide(self, features: dict[str, Features]) -> dict[str, Features]:
        """Modality dropout, the same rows for every view of a step."""
        if self._modality_dropout == 0.0 or len(features) == 1:
            return features
        if self._visible is None:
            present = torch.stack([feature.present for feature in features.values()])  # [inputs, B]
            keep = present & (torch.rand(present.shape, device=present.device) >= self._modality_dropout)
            keep = torch.where(keep.any(dim=0), keep, present)
            self._visible = dict(zip(features, keep, strict=True))
        return {name: feature.where(self._visible[name]) for name, feature in features.items()}


class CachedStep:
    """A Step that has embeddings alone, for gradient caching: they are the leaves of the loss's graph.

    batch:      of all the rows; its inputs say only which rows have them.
    embeddings: by view, float [B, E], of the rows of `batch`.
    objective:  the name of the objective that gets it, for the error when it reads more."""

    def __init__(self, model: Model, batch: Batch, embeddings: dict[str, Tensor], objective: str):
        self.model, self.batch = model, batch
        self._embeddings, self._objective = embeddings, objective

    def embedding(self, view: str) -> Tensor:
        """float [B, E], unit length, zero where absent."""
        return self._embeddings[view]

    def similarity(self, a: str, b: str) -> Tensor:
        """float [B, B]: cosine of row i of `a` with row j of `b`."""
        return self.embedding(a) @ self.embedding(b).T

    def features(self, view: str) -> NoReturn:
        """Raises UserError: there are none."""
        raise self._unknown(f"the features of '{view}'")

    def fused(self, **views: str) -> NoReturn:
        """Raises UserError: there is nothing to fuse."""
        raise self._unknown("the fused inputs")

    def _unknown(self, request: str) -> UserError:
        return UserError(
            f"The objective '{self._objective}' reads {request}, but a batch that goes through the model in pieces has "
            "embeddings only when its loss is computed; set pieces to 1."
        )

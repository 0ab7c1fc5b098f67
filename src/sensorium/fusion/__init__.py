"""Ways of fusing: each takes the features of every input, any width, any of them absent, and gives one Features.

Each class declares `reads` ("pooled" or "tokens", so that the cache stores no tokens nobody reads) and `gives_experts`
(True where the tokens are experts: each of them can decide alone, so the targets get the head `late` over them; False
where the targets are decided from the fused whole). Each instance has `dim`, the width of its tokens, and `experts`,
how many tokens it gives (None where that varies by batch; a number wherever `gives_experts` is True).
A fusion that learns more than the targets ask for also has `losses` and their `weights`: see `Variational`."""

from sensorium.fusion.attention import Attention
from sensorium.fusion.bart import BartFusion
from sensorium.fusion.bert import BertFusion
from sensorium.fusion.bottleneck import Bottleneck
from sensorium.fusion.capsules import CapsuleFusion
from sensorium.fusion.co_attention import CoAttention
from sensorium.fusion.concat import Concat
from sensorium.fusion.cross_attention import CrossAttention
from sensorium.fusion.film import Film
from sensorium.fusion.gated import Gated
from sensorium.fusion.graph import Graph
from sensorium.fusion.hybrid import Hybrid
from sensorium.fusion.low_rank import LowRank
from sensorium.fusion.resampler import Resampler
from sensorium.fusion.separate import Separate
from sensorium.fusion.sequence import Sequence
from sensorium.fusion.serial import Serial
from sensorium.fusion.tensor import TensorFusion
from sensorium.fusion.token_graph import TokenGraph
from sensorium.fusion.transformer import TransformerFusion
from sensorium.fusion.variational import Variational
from sensorium.fusion.weighted_sum import WeightedSum

FUSIONS = {
    "concat": Concat,
    "weighted_sum": WeightedSum,
    "attention": Attention,
    "gated": Gated,
    "film": Film,
    "tensor": TensorFusion,
    "low_rank": LowRank,
    "capsules": CapsuleFusion,
    "variational": Variational,
    "separate": Separate,
    "late": Separate,  # as a recipe calls it: every input decides for itself, and heads come to one decision
    "hybrid": Hybrid,
    "transformer": TransformerFusion,
    "cross_attention": CrossAttention,
    "sequence": Sequence,
    "serial": Serial,
    "bert": BertFusion,
    "bart": BartFusion,
    "co_attention": CoAttention,
    "bottleneck": Bottleneck,
    "resampler": Resampler,
    "graph": Graph,
    "token_graph": TokenGraph,
}

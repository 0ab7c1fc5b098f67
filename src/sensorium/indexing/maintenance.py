"""The vector index of a large table: LanceDB's own, made once the table is large enough and optimised after changes."""

from sensorium.errors import UserError
from sensorium.indexing.store import IndexConfig, Store


def maintain_index(store: Store, exclusive: bool = False) -> None:
    """Optimises the table, and makes the vector index that its number of rows asks for.

    Below `exact_below` rows there is none: comparing all vectors is exact and fast. From there on it is IVF_FLAT with
    LanceDB's own number of partitions. An index that an earlier release tuned is replaced, as its partitions are of
    another size. `exclusive`: nobody else has the table open."""
    config = IndexConfig() if len(store) >= store.facts.exact_below else None
    store.optimize(exclusive)
    if config == store.state.vector_index:
        return
    if config is not None:
        store.create_index()
    store.write_state(vector_index=config)


def refuse_product_quantisation(requested: bool) -> None:
    """Raises UserError where product quantisation is requested, which earlier releases had."""
    if requested:
        raise UserError(
            "Product quantisation (--product-quantisation) is no longer there; leave it out, as a large table gets"
            " LanceDB's own index without it."
        )

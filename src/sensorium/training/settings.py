"""The settings of training."""

from typing import Literal

from pydantic import BaseModel, Field


class TrainingSettings(BaseModel, frozen=True, extra="forbid"):
    """How a model is trained. What is None is chosen from the data, and the choice is saved with the run."""

    epochs: int | None = Field(None, ge=1, description="passes over the training records")
    batch_size: int | None = Field(
        None, ge=1, description="records in one optimiser step, over all processes and pieces"
    )
    pieces: int = Field(
        1, ge=1, le=65536, description="a step's records go through the model in this many, for less memory"
    )
    learning_rate: float | None = Field(
        None, gt=0, description="of everything that has no rate of its own; none: .001, of texts that are written .0003"
    )
    weight_decay: float = Field(0.05, ge=0, description="AdamW's decoupled decay, of matrices only")
    warmup: float = Field(
        0.05, ge=0, lt=1, description="share of the steps over which the rate rises; a cosine follows"
    )
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    patience: int | None = Field(
        None, ge=1, description="epochs without a better validation score before training stops"
    )
    modality_dropout: float = Field(
        0.2, ge=0, lt=1, description="rate at which training hides an input where the fusion mixes inputs"
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="whose weights are kept: those of the epoch that the validation records find best, or the last's",
    )
    refit: bool | None = Field(
        None, description="train anew, validation records too, for the best number of epochs; none: if 20,000 or fewer"
    )
    cross_fit: bool | None = Field(
        None,
        description="models of other folds are trained too, so that all records say how much each expert decides; none:"
        " if they are few, and nothing but features is read in training",
    )
    averaging: Literal["none", "ema"] = Field(
        "none", description="ema: validation and the saved model use a running average of the weights"
    )
    ema_decay: float = Field(0.999, gt=0, lt=1, description="how much of the average a step keeps; less in the first")
    sampling: Literal["permutation", "balanced", "grouped"] = Field(
        "permutation",
        description="balanced: rare classes are drawn as often as others; grouped: records of a group come together, so"
        " that a picture which they share is encoded once a step",
    )
    precision: Literal["auto", "bf16", "fp32"] = Field("auto", description="auto: bf16 where the hardware has it")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    workers: int | None = Field(None, ge=0, description="processes that read records")
    log: Literal["tensorboard"] | None = Field(
        None, description="tensorboard: what log.csv has is also written to the folder tensorboard of the run"
    )
    checkpoint_seconds: float = Field(60.0, ge=0, description="longest time between two saved states")

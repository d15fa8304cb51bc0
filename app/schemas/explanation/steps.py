"""The shape of a step of learning."""

from typing import Any

from pydantic import BaseModel, Field

from app.inference.explain.step import Moved, Step
from app.inference.networks.engines.network import Network
from app.schemas.explanation.units import Cells
from app.schemas.shared import ImageAnswer, ModelAnswer, image_answer, model_answer


class BeforeAndAfter(BaseModel):
    """One number before and after the step."""

    before: float = Field(examples=[0.42])
    after: float = Field(examples=[0.31])


class ProbabilitiesBeforeAndAfter(BaseModel):
    """The network's answer before and after the step."""

    before: dict[str, float] = Field(examples=[{"cat": 0.657, "not_cat": 0.343}])
    after: dict[str, float] = Field(examples=[{"cat": 0.7334, "not_cat": 0.2666}])


class KernelStep(BaseModel):
    """One filter's weights, [height][width][input], or those of a fully connected unit, [input]."""

    before: Cells | list[float]
    gradient: Cells | list[float] = Field(description="How much the loss rises for each that a weight rises")
    after: Cells | list[float] = Field(description="before - learning_rate x gradient; the network gets it as float32")


class BiasStep(BaseModel):
    """One filter's bias."""

    before: float
    gradient: float
    after: float = Field(description="before - step x gradient; the network gets it as float32")


class StepAnswer(BaseModel):
    """One step of gradient descent on the photo, for all weights of the network, shown for one filter."""

    stage: str = Field(examples=["block1_conv"])
    channel: int = Field(examples=[0])
    truth: str = Field(description="The class that was said to be right", examples=["cat"])
    loss: BeforeAndAfter = Field(description="-ln of that class's probability")
    probabilities: ProbabilitiesBeforeAndAfter
    step: float = Field(description="The learning rate as training counts it, with colours from 0 to 1", examples=[0.01])
    learning_rate: float = Field(
        description="What the kernel's gradient is multiplied by: `step`, or `step` / 255² in a stage that reads the image, "
        "whose colours go from 0 to 255",
        examples=[1.5378700499807767e-07],
    )
    kernel: KernelStep
    bias: BiasStep | None = Field(description="null in a stage without biases")
    image: ImageAnswer
    model: ModelAnswer


def step(stage: str, channel: int, truth: str, taken: Step, network: Network) -> dict[str, Any]:
    """A step in the shape of `StepAnswer`."""
    before, after = taken.before, taken.after
    return {
        "stage": stage,
        "channel": channel,
        "truth": truth,
        "loss": {"before": before.loss, "after": after.loss},
        "probabilities": {"before": before.probabilities, "after": after.probabilities},
        "step": taken.size,
        "learning_rate": taken.learning_rate,
        "kernel": _moved(taken.kernel),
        "bias": _moved(taken.bias) if taken.bias else None,
        "image": image_answer(taken.photo),
        "model": model_answer(network),
    }


def _moved(weights: Moved) -> dict[str, Any]:
    return {name: values.tolist() for name, values in vars(weights).items()}

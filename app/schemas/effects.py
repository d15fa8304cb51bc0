"""The shape of what muting each channel of a stage does to the answer."""

from typing import Any

from pydantic import BaseModel, Field

from app.inference.explain.effects import Effects
from app.inference.networks.engines import Network
from app.schemas.shared import EditsAnswer, ImageAnswer, ModelAnswer, edits_answer, image_answer, model_answer


class EffectAnswer(BaseModel):
    """What muting one channel does."""

    channel: int = Field(examples=[3])
    mean: float = Field(description="Its mean magnitude for this photo", examples=[0.8])
    probabilities: dict[str, float] = Field(description="Without it", examples=[{"cat": 0.6102, "not_cat": 0.3898}])
    change: float = Field(description="The change of the probability of `label`", examples=[-0.3769])


class EffectsAnswer(EditsAnswer):
    """What muting each channel of a stage does to the answer."""

    stage: str = Field(examples=["block1_relu"])
    label: str = Field(description="The likelier class, with all channels", examples=["cat"])
    probabilities: dict[str, float] = Field(examples=[{"cat": 0.9871, "not_cat": 0.0129}])
    channels: int = Field(description="How many the stage has; of more than were muted, the strongest were", examples=[16])
    effects: list[EffectAnswer] = Field(description="One for each channel that was muted, the largest change first")
    image: ImageAnswer
    model: ModelAnswer


def effects(stage: str, found: Effects, network: Network) -> dict[str, Any]:
    """The effects in the shape of `EffectsAnswer`."""
    return {
        "stage": stage,
        "label": found.label,
        "probabilities": found.probabilities,
        "channels": found.channels,
        "effects": [vars(effect) for effect in found.effects],
        "image": image_answer(found.photo),
        "model": model_answer(network),
        **edits_answer(network),
    }

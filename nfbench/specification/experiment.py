"""An experiment as its YAML file has it: a grid of targets and posteriors, budgets, and variations of both."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from nfbench.foundation.names import did_you_mean
from nfbench.specification.choices import Optimizer, Schedule
from nfbench.specification.config import MOST_SEEDS, Evaluation, Push, Strict, Training

_LONGEST_NAME = 100  # characters of a variation's name, which is a row's title


class Recipe(Strict):
    """An optimizer with its settings, by a name that an experiment gives it: the other half of a training's budget."""

    optimizer: Optimizer
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Schedule


class Profile(Strict):
    """An experiment's budget; `targets` and `posteriors` narrow the grid where the budget asks for it."""

    seeds: int = Field(ge=1, le=MOST_SEEDS)
    recipe: str | None = None  # of the experiment's; what `training` says itself goes before it
    training: Training | None = None
    push: Push | None = None
    evaluation: Evaluation = Evaluation()
    targets: list[str] | None = Field(default=None, min_length=1)
    posteriors: list[str] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.training is None) == (self.push is None):
            raise ValueError("a profile has either 'training' or 'push'")
        return self


class Variation(Strict):
    """One change of an experiment's grid: each of its cells again, with something else."""

    target: dict[str, str | int | float | bool] = Field(default_factory=dict)  # options of every target
    training: dict[str, Any] = Field(default_factory=dict)  # of every profile's
    posteriors: list[str] | None = Field(default=None, min_length=1)  # that it makes a difference for; None: all

    @model_validator(mode="after")
    def _something_changes(self) -> Self:
        if not (self.target or self.training):
            raise ValueError("expected options of the target, or keys of the training, that it changes")
        return self


class Experiment(Strict):
    """A grid of cells with a name: every target with every posterior and seed."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=100)  # it names a folder
    title: str
    summary: str
    targets: list[str] = Field(min_length=1)
    posteriors: list[str] = Field(min_length=1)
    recipes: dict[str, Recipe] = Field(default_factory=dict)
    profiles: dict[str, Profile] = Field(min_length=1)
    variations: dict[str, Variation] = Field(default_factory=dict)  # by what they change, in words

    @field_validator("variations")
    @classmethod
    def _names_fit_a_line(cls, variations: dict[str, Variation]) -> dict[str, Variation]:
        for name in variations:
            if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
                shown = repr(name if len(name) <= _LONGEST_NAME else f"{name[:20]}...")
                raise ValueError(
                    f"name {shown}: expected 1 to {_LONGEST_NAME} characters on one line, none of them blank at an end"
                )
        return variations

    @model_validator(mode="before")
    @classmethod
    def _recipes_enter(cls, data: Any) -> Any:
        """Fill what a profile's training leaves open from the recipe that the profile names."""
        recipes, profiles = data.get("recipes"), data.get("profiles")
        if not (isinstance(recipes, dict) and isinstance(profiles, dict)):
            return data
        return data | {"profiles": {name: _with_recipe(profile, recipes) for name, profile in profiles.items()}}


def _with_recipe(profile: Any, recipes: dict[str, Any]) -> Any:
    if not isinstance(profile, dict) or profile.get("recipe") is None:
        return profile
    recipe, training = recipes.get(profile["recipe"]), profile.get("training")
    if recipe is None:
        hint = did_you_mean(str(profile["recipe"]), recipes)
        raise ValueError(f"recipe {profile['recipe']!r}: unknown;{hint} known: {', '.join(recipes)}")
    if not (isinstance(recipe, dict) and isinstance(training, dict)):
        return profile
    return profile | {"training": {**recipe, **training}}

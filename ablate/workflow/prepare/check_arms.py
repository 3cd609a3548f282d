"""Every arm is built once before anything trains, without memory for its weights.

A backbone that does not exist, a freeze depth that its network does not have, or weights that
cannot be read stop a study here, and not after hours of its other arms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter

from ablate.errors import SpecError
from ablate.grid.shown_recipes import shown_recipes
from ablate.model.backbone_facts import Preprocessing, RecipeFacts
from ablate.recipe.class_weight_rules import check_class_weights
from ablate.recipe.one_image import asks_for_one_image, one_image_mistake
from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import Shown, ShownTo
from ablate.recipe.transfer import uses_source_classifier
from ablate.study.record import ArmRecord
from ablate.study.trial import DataSpec
from ablate.study.weights_identity import WeightsIdentity, weights_name
from ablate.workflow.prepare.equal_arms import check_depths_differ, check_images_differ
from ablate.workflow.prepare.network_facts import BuiltFacts, NetworkFacts
from ablate.workflow.prepare.resolved import Resolved

_SHAPELESS_FIELDS = (
    "head_lr",
    "lr_ratio",
    "optimizer",
    "momentum",
    "weight_decay",
    "schedule",
    "warmup",
    "batch_size",
    "augment",
    "label_smoothing",
    "class_weights",
    "view",
    "crop_share",
    "interpolation",
)
_SHAPELESS = {name: Recipe.model_fields[name].default for name in _SHAPELESS_FIELDS}
"""Fields that do not change the network: arms that differ in nothing else are built once."""
# All other fields, without asking which of them matter: an arm that is built once too often costs
# half a second, one that is not built can stop a study after hours.
_shape_of = attrgetter(*(name for name in Recipe.model_fields if name not in _SHAPELESS))

Weights = dict[str, WeightsIdentity]
"""`weights_name` of a recipe -> the pretrained weights that its trials start from."""


@dataclass(frozen=True, slots=True)
class CheckedArms:
    """What building every arm showed."""

    facts: Mapping[str, RecipeFacts]
    """By arm_id."""
    weights: Mapping[str, WeightsIdentity]
    """By `weights_name`; recipes with random weights are not in it."""
    images: Mapping[ShownTo, Preprocessing]
    """How images are shown to each backbone, in arms and in those that a search may propose."""


def check_arms(resolved: Resolved, *, networks: NetworkFacts | None = None) -> CheckedArms:
    """Build every arm, and make sure of its weights. Raises SpecError, WeightsError.

    `networks` is who knows of networks; `BuiltFacts` where None.
    """
    if networks is None:
        networks = BuiltFacts()
    facts = _facts_of_arms(resolved, networks)
    # Weights come after the facts: a hub is not asked for hundreds of MB on behalf of a grid that
    # could not be trained anyway.
    weights = weights_of(resolved.arms_to_check, networks, data=resolved.data)
    _check_source_classifiers(resolved.arms_to_check, networks)
    check_depths_differ(resolved.arms_to_check, facts)
    check_images_differ(resolved.arms_to_check, facts, data=resolved.data)
    return CheckedArms(facts, weights, _images(resolved, facts, networks))


def _facts_of_arms(resolved: Resolved, networks: NetworkFacts) -> dict[str, RecipeFacts]:
    facts: dict[str, RecipeFacts] = {}
    built: dict[tuple[object, ...], RecipeFacts] = {}
    for arm in resolved.arms_to_check:
        try:
            # Before the network is built: it needs the data's classes alone.
            check_class_weights(arm.recipe, resolved.data_set.facts.class_names)
            shape = _shape_of(arm.recipe)
            if shape not in built:
                built[shape] = _build(arm, resolved, networks)
            _check_one_image(arm.recipe, built[shape])
        except SpecError as error:
            raise SpecError(f"arm {arm.name}: {error}") from None
        facts[arm.arm_id] = built[shape]
    return facts


def _build(arm: ArmRecord, resolved: Resolved, networks: NetworkFacts) -> RecipeFacts:
    # With the shapeless fields at their defaults, arms also share what is remembered on disk.
    return networks.recipe_facts(
        arm.recipe.model_copy(update=_SHAPELESS),
        n_classes=len(resolved.data_set.facts.class_names),
        image_size=resolved.data.shown_to(arm.recipe).image_size,
    )


def _images(
    resolved: Resolved, facts: Mapping[str, RecipeFacts], networks: NetworkFacts
) -> dict[ShownTo, Preprocessing]:
    images: dict[ShownTo, Preprocessing] = {}
    for arm in resolved.arms_to_check:
        shown = resolved.data.shown_to(arm.recipe)
        own = facts[arm.arm_id].preprocessing
        images[arm.recipe.backbone, shown] = own.as_shown(shown)
    if resolved.grid.search is None:
        return images
    # The arms that are checked take each level once, not each with each other one.
    for recipe in shown_recipes(resolved.grid):
        shown = resolved.data.shown_to(recipe)
        if (recipe.backbone, shown) not in images:
            own = _own_preprocessing(recipe.backbone, shown, resolved, networks)
            images[recipe.backbone, shown] = own.as_shown(shown)
    return images


def _own_preprocessing(
    backbone: str, shown: Shown, resolved: Resolved, networks: NetworkFacts
) -> Preprocessing:
    """That of a linear probe: how a network trains does not change how it wants its images."""
    facts = networks.recipe_facts(
        Recipe.model_validate({"backbone": backbone}),
        n_classes=len(resolved.data_set.facts.class_names),
        image_size=shown.image_size,
    )
    return facts.preprocessing


def _check_one_image(recipe: Recipe, facts: RecipeFacts) -> None:
    """A batch norm that trains has no variance over one value. Raises SpecError."""
    if asks_for_one_image(recipe) and not facts.takes_one_image:
        raise SpecError(one_image_mistake(recipe))


def _check_source_classifiers(arms: Iterable[ArmRecord], networks: NetworkFacts) -> None:
    """Weights that some arm needs the classifier of must carry one. Raises WeightsError."""
    recipes = {}
    for arm in arms:
        if uses_source_classifier(arm.recipe):
            # any recipe with these weights will do
            recipes[weights_name(arm.recipe)] = arm.recipe
    for _, recipe in sorted(recipes.items()):
        networks.check_source_classifier(recipe)


def weights_of(arms: Iterable[ArmRecord], networks: NetworkFacts, *, data: DataSpec) -> Weights:
    """`weights_name` -> what is loaded: two words may stand for the same tensors.

    Recipes with random weights are not in it. Raises WeightsError.
    """
    # Any recipe with these weights will do; each file is read once.
    recipes = {weights_name(arm.recipe): arm.recipe for arm in arms}
    weights: Weights = {}
    for name, recipe in sorted(recipes.items()):
        image_size = data.shown_to(recipe).image_size
        identity = networks.check_weights(recipe, image_size=image_size)
        if identity is not None:
            weights[name] = identity
    return weights

"""What the views of a run share: the mutual information of two of them."""

from typing import Any, Dict, Iterator, Tuple

from tfssl import data, evaluation
from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError
from tfssl.training.experiment import Experiment
from tfssl.views import ViewFamily

# Pairs of a step; negatives of the second estimate, each a pass of the critic; and every so-manyth
# image is for the estimates alone.
_BATCH, _NEGATIVES, _HELD_OUT = 256, 31, 10


def information(experiment: Experiment, settings: EvaluationConfig) -> Dict[str, Any]:
    """Estimates I(v1; v2) of two views that are compared, as training draws them, in nats.

    CMC, Tian et al. 2020, arXiv 1906.05849, Figure 5: MINE on the views themselves, whatever the
    encoders make of them.

    Args:
        experiment: a run, trained or not.
        settings: with those that begin with `information_`.

    Returns:
        What `tfssl.evaluation.mine_batches` returns.

    Raises:
        SettingsError: the run has one view, not those asked for, fewer than 20 images, or clips.
    """
    family, seed = experiment.family, settings.evaluation_seed
    if family.clips:
        raise SettingsError(
            "--protocol=information: expected views that are images, which MINE's critics take. "
            f"Received: clips of --views={family.name}. Remedy: information in metrics.jsonl, the "
            "bound that training has found."
        )
    if family.num_views < 2:
        raise SettingsError(
            "--protocol=information: expected a run with two views. Received: "
            f"--views={experiment.config.views.views} with one."
        )
    first, second = _pair(family, settings)
    train, held_out = data.hold_out(experiment.train, _HELD_OUT)
    batch_size = min(_BATCH, len(held_out.drawable))
    if batch_size < 2:
        raise SettingsError(
            f"--protocol=information: expected at least {2 * _HELD_OUT} images, of which every "
            f"tenth is held out. Received: {len(experiment.train.drawable)}."
        )

    def batches(source: data.Source):
        steps = data.steps_per_epoch(source, batch_size)

        def epoch(number: int) -> Iterator[Dict[str, Any]]:
            stream = data.training_batches(
                source,
                family,
                batch_size=batch_size,
                seed=seed,
                start_step=number * steps,
                epochs=number + 1,
            )
            return ({"views": (batch["views"][first], batch["views"][second])} for batch in stream)

        return epoch

    steps = settings.information_steps
    return evaluation.mine_batches(
        batches(train),
        batches(held_out),
        # Patches of a pair lie at two places: nothing is gained from laying one over the other.
        critic="patches" if family.name == "patches" else "images",
        steps=steps,
        learning_rate=settings.information_lr,
        width=settings.information_width,
        num_negatives=min(_NEGATIVES, batch_size - 1),
        seed=seed,
    )


def _pair(family: ViewFamily, settings: EvaluationConfig) -> Tuple[int, int]:
    """Two views that are compared, by their numbers from 0."""
    if settings.pair() is None:
        # Groups of channels of two crops are compared across the crops.
        groups = len(family.groups)
        return 0, groups + 1 if groups > 1 and family.num_crops > 1 else 1
    first, second = settings.pair()
    if max(first, second) > family.num_views:
        raise SettingsError(
            f"--information_views: expected numbers up to {family.num_views}, the views of the "
            f"run. Received: {settings.information_views}."
        )
    return first - 1, second - 1

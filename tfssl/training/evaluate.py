"""A run's encoder under an evaluation protocol, beside its baselines where asked."""

import dataclasses
import functools
from typing import Any, Callable, Dict, Iterator

import tensorflow as tf

from tfssl import data, evaluation, methods, views
from tfssl.evaluation import EMBEDDING, EvaluationConfig
from tfssl.settings import SettingsError
from tfssl.training.experiment import Experiment
from tfssl.training.information import information
from tfssl.training.judged_data import on_judged_data
from tfssl.training.probes import Extractor, raw_pixels


def circumstances(experiment: Experiment, settings: EvaluationConfig) -> Dict[str, Any]:
    """What a result file says beside the protocol's settings: what was judged, and on what."""
    experiment = on_judged_data(experiment, settings)
    config = experiment.config
    other = None if settings.protocol == "information" else "eval"
    family = views.build_from(config.views, family=other)
    return {
        "method": config.training.method,
        "settings": dataclasses.asdict(config.method),
        "backbone": dataclasses.asdict(config.backbone),
        "data": dataclasses.asdict(config.data),
        "train": experiment.train.name,
        "test": None if experiment.test is None else experiment.test.name,
        "view": {
            "family": family.name,
            "size": family.sizes[0],
            "resize_to": config.views.eval_resize,
            "interpolation": config.views.eval_interpolation,
            "mean": list(family.mean),
            "std": list(family.std),
        },
        "untrained_seed": config.training.seed,
    }


@data.damage_explained()
def evaluate(experiment: Experiment, settings: EvaluationConfig) -> Dict[str, Dict]:
    """Judges the evaluated encoder; the two baselines too where `settings.baselines` says so.

    Returns:
        Contender -> the protocol's result with its settings.

    Raises:
        SettingsError: data that cannot be opened, without labels or without a test split.
        DamagedImage: an image does not decode.
    """
    if settings.protocol == "information":
        return {"views": information(experiment, settings)}
    experiment = on_judged_data(experiment, settings)
    _check_labels(experiment, settings)
    if settings.protocol == "supervised":
        return {"trained": _supervised(experiment, settings)}
    judged = {"trained": _part(experiment, settings, _encoder(experiment.method, settings))}
    if settings.baselines:
        judged.update(_baselines(experiment, settings))
    if settings.augment:
        return {name: _augmented(experiment, settings, f) for name, f in judged.items()}
    extract = functools.partial(Extractor(experiment), with_labels=settings.judges_classes)
    results = {}
    for name, features in judged.items():
        train = extract(features, experiment.train, settings.max_train_records)
        test = extract(features, experiment.test)
        if not settings.judges_classes:
            results[name] = evaluation.regression(
                *(train.features, experiment.train.targets[train.index]),
                *(test.features, experiment.test.targets[test.index]),
            )
            continue
        arrays = (train.features, train.labels, test.features, test.labels)
        center = settings.center or name == "raw pixels"
        results[name] = _PROTOCOLS[settings.protocol](arrays, settings, center)
    return results


def _baselines(experiment: Experiment, settings: EvaluationConfig) -> Dict[str, Callable]:
    """What a figure is printed beside: the same encoder untrained, and raw pixels."""
    tf.keras.utils.set_random_seed(experiment.config.training.seed)
    method, build_encoder = experiment.method, experiment.build_encoder
    if settings.layer == EMBEDDING:
        fresh = type(method)(method.settings, method.plan, build_encoder)
        untrained = _encoder(fresh, settings)
    else:
        untrained = method.fresh_encoder(build_encoder)
    judged = {"untrained": _part(experiment, settings, untrained), "raw pixels": raw_pixels}
    if not settings.judges_classes:
        judged["mean position"] = lambda images: tf.zeros([tf.shape(images)[0], 1])
    return judged


def _encoder(method: methods.Method, settings: EvaluationConfig) -> tf.keras.Model:
    """The evaluated encoder, with the head behind it where embeddings are judged."""
    if settings.layer != EMBEDDING:
        return method.evaluated_encoder
    if method.embedding_network is None:
        raise SettingsError(
            f"--layer: expected a layer of the backbone, because the method {method.name} has no "
            f"head that embeds images. Received: {EMBEDDING}."
        )
    return method.embedding_network


def _part(experiment: Experiment, settings: EvaluationConfig, encoder) -> Callable:
    """The layer and the view of an encoder that the settings name."""
    stem = experiment.config.backbone.stem
    layer = None if settings.layer == EMBEDDING else settings.layer
    try:
        return evaluation.probe_encoder(encoder, layer=layer, view=settings.view, stem=stem)
    except ValueError as error:
        raise SettingsError(f"--{error}") from error


def _knn(arrays, settings: EvaluationConfig, center: bool) -> Dict:
    return evaluation.knn(*arrays, k=settings.k, temperature=settings.temperature, center=center)


def _linear(arrays, settings: EvaluationConfig, center: bool) -> Dict:
    del center  # A bias takes care of it.
    return evaluation.linear(
        *arrays,
        learning_rates=settings.rates(),
        epochs=settings.linear_epochs,
        batch_size=settings.linear_batch_size,
        weight_decay=settings.linear_weight_decay,
        milestones=settings.milestones(),
        decay_factor=settings.linear_decay_factor,
        standardize=settings.standardize,
        seed=settings.evaluation_seed,
    )


def _mlp(arrays, settings: EvaluationConfig, center: bool) -> Dict:
    del center
    return evaluation.mlp(
        *arrays,
        hidden_dim=settings.mlp_hidden_dim,
        learning_rate=settings.mlp_lr,
        epochs=settings.mlp_epochs,
        milestones=settings.milestones(),
        seed=settings.evaluation_seed,
    )


_PROTOCOLS = {"knn": _knn, "linear": _linear, "mlp": _mlp}


def _supervised(experiment: Experiment, settings: EvaluationConfig) -> Dict:
    """An untrained encoder of the run's kind, trained on labels or targets alone."""
    train, test = experiment.train, experiment.test
    if settings.max_train_records is not None:
        train = data.thin(train, settings.max_train_records)
    family = views.build_from(experiment.config.views, family="eval")
    seed = settings.evaluation_seed
    tf.keras.utils.set_random_seed(seed)
    batches = data.training_batches(
        train,
        family,
        batch_size=min(experiment.plan.batch_size, len(train.drawable)),
        seed=seed,
        epochs=settings.supervised_epochs,
    )
    train_answers, test_answers = (
        source.labels if settings.judges_classes else source.targets for source in (train, test)
    )
    found = evaluation.supervised(
        experiment.method.fresh_encoder(experiment.build_encoder),
        batches,
        data.evaluation_batches(test, family, batch_size=256, with_labels=False),
        train_answers=train_answers,
        test_answers=test_answers,
        learning_rate=settings.supervised_lr,
        seed=seed,
    )
    return {**found, "num_train": len(train.drawable), "epochs": settings.supervised_epochs}


def _augmented(experiment: Experiment, settings: EvaluationConfig, features) -> Dict:
    """The linear protocol with new views in every epoch, through the frozen encoder."""
    train = experiment.train
    if settings.max_train_records is not None:
        train = data.thin(train, settings.max_train_records)
    crop = {"crop_min_area": settings.augment_min_area}
    other = "linear_rand_augment" if settings.augment_rand_augment else "linear"
    family = views.build_from(experiment.config.views, family=other, **crop)
    batch_size = min(settings.linear_batch_size, len(train.drawable))
    steps = data.steps_per_epoch(train, batch_size)

    def epoch(number: int) -> Iterator:
        return data.training_batches(
            train,
            family,
            batch_size=batch_size,
            seed=settings.evaluation_seed,
            start_step=number * steps,
            epochs=number + 1,
            with_labels=True,
        )

    test_family = views.build_from(experiment.config.views, family="eval")
    return evaluation.linear_augmented(
        features,
        epoch,
        data.evaluation_batches(experiment.test, test_family, batch_size=256),
        num_classes=1 + int(max(train.labels.max(), experiment.test.labels.max())),
        learning_rate=settings.rates()[0],
        epochs=settings.linear_epochs,
        weight_decay=settings.linear_weight_decay,
        milestones=settings.milestones(),
        decay_factor=settings.linear_decay_factor,
        seed=settings.evaluation_seed,
    )


def _check_labels(experiment: Experiment, settings: EvaluationConfig) -> None:
    for split, source in (("training", experiment.train), ("test", experiment.test)):
        if source is None or (settings.judges_classes and source.labels is None):
            missing = "no such split" if source is None else f"{source.name} without labels"
            raise SettingsError(
                f"evaluation: expected a {split} split with labels. Received: {missing}."
            )

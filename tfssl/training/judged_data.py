"""The data whose features are judged: the run's own, or others that the settings name."""

import dataclasses

from tfssl import data
from tfssl.evaluation import EvaluationConfig
from tfssl.training.experiment import Experiment


def judged_config(own: data.DataConfig, settings: EvaluationConfig) -> data.DataConfig:
    """The settings of the judged data, from those of the run's.

    Args:
        own: the run's.
        settings: `labelled_dataset`, `labelled_data_dir` and `labelled_split` choose others.
    """
    if settings.labelled_dataset is not None:
        return data.DataConfig(
            dataset=settings.labelled_dataset,
            data_dir=settings.labelled_data_dir,
            train_split=settings.labelled_split or data.DataConfig.train_split,
        )
    if settings.labelled_split is not None:
        return dataclasses.replace(own, train_split=settings.labelled_split)
    return own


def read_out(source: data.Source, settings: EvaluationConfig) -> data.Source:
    """The records as the images that are judged, with the labels or targets that are asked for.

    Raises:
        SettingsError: the records have no such readout.
    """
    if settings.readout is None:
        return source.still()
    return source.read_out(settings.readout)


def on_judged_data(experiment: Experiment, settings: EvaluationConfig) -> Experiment:
    """The run with the data that it is judged on in place of its own.

    Args:
        experiment: a run; one that has been given these data already has them opened once.
        settings: see `judged_config`; its readout is what labels and targets are of.

    Raises:
        SettingsError: data that cannot be opened, or that have no such readout.
    """
    config = experiment.config
    train, test = experiment.train, experiment.test
    judged = judged_config(config.data, settings)
    if judged != config.data:
        train, test = data.open_splits(judged)
        config = dataclasses.replace(config, data=judged)
    train = read_out(train, settings)
    test = None if test is None else read_out(test, settings)
    return dataclasses.replace(experiment, config=config, train=train, test=test)

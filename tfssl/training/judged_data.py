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


def on_judged_data(experiment: Experiment, settings: EvaluationConfig) -> Experiment:
    """The run with the data that it is judged on in place of its own.

    Args:
        experiment: a run; one that has been given these data already is returned as it is.
        settings: see `judged_config`.

    Raises:
        SettingsError: data that cannot be opened.
    """
    config = experiment.config
    judged = judged_config(config.data, settings)
    if judged == config.data:
        return experiment
    train, test = data.open_splits(judged)
    config = dataclasses.replace(config, data=judged)
    return dataclasses.replace(experiment, config=config, train=train, test=test)

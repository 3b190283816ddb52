"""What may be chosen about an evaluation, and what is refused."""

import pytest

from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError


def test_numbers_behind_texts():
    config = EvaluationConfig(
        protocol="linear", learning_rates="0.1,0.3", linear_milestones="60,80"
    )
    assert config.rates() == (0.1, 0.3)
    assert config.milestones() == (60, 80)
    assert EvaluationConfig().milestones() == ()


@pytest.mark.parametrize(
    "values, name",
    [
        ({}, "knn"),
        ({"protocol": "linear", "augment": True}, "linear_augmented"),
        (
            {"protocol": "linear", "augment": True, "augment_rand_augment": True, "view": 1},
            "linear_augmented_rand_augment_view1",
        ),
        ({"protocol": "mlp", "layer": "conv5", "view": 2}, "mlp_conv5_view2"),
        ({"view": 1}, "knn_view1"),
        ({"protocol": "linear", "readout": "position", "view": 1}, "linear_position_view1"),
        ({"labelled_dataset": "tfds:cifar10"}, "knn_on-tfds-cifar10"),
        ({"labelled_dataset": "folder:a/b", "labelled_split": "all"}, "knn_on-folder-a-b-all"),
        ({"protocol": "mlp", "labelled_split": "train", "evaluation_seed": 3}, "mlp_on-train"),
        ({"protocol": "information", "evaluation_seed": 1}, "information"),
        ({"protocol": "information", "information_views": "1, 3"}, "information_views1-3"),
    ],
)
def test_results_have_names_of_their_own(values, name):
    assert EvaluationConfig(**values).name == name


@pytest.mark.parametrize(
    "values, words",
    [
        ({"protocol": "linear", "k": 5}, "k: expected only with --protocol=knn"),
        ({"protocol": "linear", "center": True}, "center: expected only"),
        ({"protocol": "knn", "standardize": True}, "standardize: expected only"),
        ({"protocol": "knn", "linear_epochs": 3}, "linear_epochs: expected only"),
        ({"protocol": "knn", "augment": True}, "augment: expected only"),
        ({"protocol": "knn", "augment_rand_augment": True}, "augment_rand_augment: expected only"),
        ({"protocol": "linear", "augment_rand_augment": True}, "augment_rand_augment: .*--augment"),
        ({"protocol": "linear", "learning_rates": "fast"}, "positive numbers"),
        ({"protocol": "linear", "linear_milestones": "80,60"}, "increasing"),
        ({"protocol": "linear", "linear_milestones": "0.5"}, "increasing"),
        ({"protocol": "linear", "linear_decay_factor": 0.2}, "linear_milestones beside it"),
        ({"protocol": "linear", "mlp_lr": 0.1}, "mlp_lr: expected only with --protocol=mlp"),
        ({"protocol": "mlp", "mlp_milestones": "80,60"}, "--mlp_milestones: expected increasing"),
        ({"protocol": "linear", "augment": True, "baselines": True}, "without --baselines"),
        ({"protocol": "linear", "augment": True, "learning_rates": "1,2"}, "one rate"),
        ({"evaluation_seed": 1}, "kNN draws nothing"),
        ({"protocol": "information", "max_train_records": 9}, "the run's own views"),
        ({"information_views": "1,2"}, "only with --protocol=information"),
        ({"protocol": "information", "information_views": "1"}, "two different numbers"),
        ({"protocol": "information", "information_views": "0,1"}, "two different numbers"),
        ({"protocol": "information", "information_views": "2,2"}, "two different numbers"),
        ({"protocol": "information", "information_views": "a,b"}, "two different numbers"),
        ({"protocol": "information", "labelled_split": "train"}, "the run's own views"),
        ({"labelled_data_dir": "data"}, "labelled_dataset beside it"),
        ({"supervised_epochs": 3}, "supervised_epochs: expected only with --protocol=supervised"),
        ({"protocol": "supervised", "view": 1}, "view: expected no value, because a fresh encoder"),
        ({"readout": "speed"}, "readout: expected one of digit, background, position"),
        ({"readout": "position"}, "expected protocol=linear or supervised .*Received: knn"),
        ({"protocol": "information", "readout": "digit"}, "the run's own views"),
        (
            {"protocol": "linear", "readout": "position", "linear_epochs": 5},
            "linear_epochs: expected no value, because positions are told by least squares",
        ),
        (
            {"protocol": "linear", "readout": "position", "augment": True},
            "augment: expected no value",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused(values, words):
    with pytest.raises(SettingsError, match=words):
        EvaluationConfig(**values)

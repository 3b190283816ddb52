"""What may be chosen about an evaluation."""

import dataclasses
import re
from typing import Optional, Tuple

from tfssl.settings import Settings, SettingsError, setting

# The layer behind the backbone: what a method's head makes of its features.
EMBEDDING = "embedding"
PROTOCOLS = ("knn", "linear", "mlp", "supervised", "information")
READOUTS = ("digit", "background", "position")
# What a linear map solved in closed form does not read.
_OF_CLASSIFIERS = (
    "learning_rates",
    "linear_epochs",
    "linear_batch_size",
    "linear_weight_decay",
    "linear_milestones",
    "augment",
    "standardize",
    "evaluation_seed",
)


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(Settings):
    """A protocol and its settings; all of them stand in the result."""

    protocol: str = setting("knn", "How features are judged.", choices=PROTOCOLS)
    k: int = setting(20, "knn: neighbours that vote.", low=1)
    temperature: float = setting(0.07, "knn: a vote weighs exp(cosine / temperature).", above=0.0)
    center: bool = setting(False, "knn: subtract the mean training feature first.")
    learning_rates: str = setting(
        "0.3",
        "linear: learning rate at --linear_batch_size; of several, separated by commas, a held-out "
        "part of the training records picks one.",
    )
    linear_epochs: int = setting(100, "linear: passes over the training features.", low=1)
    linear_batch_size: int = setting(1024, "linear: records a step.", low=1)
    linear_weight_decay: float = setting(0.0, "linear: decay of the kernel, coupled.", low=0.0)
    linear_milestones: str = setting(
        "",
        "linear: epochs done when the learning rate drops, separated by commas, as in 60,80; empty "
        "for a cosine to 0.",
    )
    linear_decay_factor: float = setting(
        0.1, "linear: what multiplies the rate at each of them.", above=0.0, high=1.0
    )
    augment: bool = setting(
        False,
        "linear: new random crops and flips in every pass, through the frozen encoder, instead of "
        "features extracted once.",
    )
    augment_min_area: Optional[float] = setting(
        None,
        "linear: with --augment, the smallest part of an image's area in a crop. Unset: 0.08.",
        above=0.0,
        high=1.0,
    )
    augment_rand_augment: bool = setting(
        False, "linear: with --augment, InfoMin's RandAugment after the flip."
    )
    standardize: bool = setting(False, "linear: scale each feature to mean 0 and deviation 1.")
    mlp_hidden_dim: int = setting(
        200, "mlp: units of the hidden layer; 0: a linear classifier trained with Adam.", low=0
    )
    mlp_epochs: int = setting(100, "mlp: passes over the training features.", low=1)
    mlp_lr: float = setting(1e-3, "mlp: Adam's learning rate; times 0.2 late.", above=0.0)
    mlp_milestones: str = setting(
        "60,80", "mlp: epochs done when the learning rate drops, separated by commas; may be empty."
    )
    supervised_epochs: int = setting(
        20,
        "supervised: passes over the training records of a fresh encoder with a linear layer that "
        "learns their labels, from the images of evaluation.",
        low=1,
    )
    supervised_lr: float = setting(
        1e-3, "supervised: Adam's learning rate, a cosine to 0.", above=0.0
    )
    layer: Optional[str] = setting(
        None,
        "Judge the map of a layer, a stage of the backbone such as conv5 or stage3, pooled as in "
        "CMC's probes; or embedding, what the method's head makes of the features. Unset: the "
        "backbone's features.",
    )
    view: Optional[int] = setting(
        None, "Judge the encoder of one view alone, by its number from 1. Unset: all.", low=1
    )
    information_steps: int = setting(
        50_000, "information: steps of MINE, a batch of 256 pairs of views each.", low=10
    )
    information_width: float = setting(
        1.0, "information: factor on the widths of MINE's critic.", above=0.0
    )
    information_lr: float = setting(1e-4, "information: learning rate of MINE.", above=0.0)
    information_views: Optional[str] = setting(
        None,
        "information: two views by their numbers from 1, such as 1,3. Unset: the first two that "
        "are compared.",
    )
    readout: Optional[str] = setting(
        None,
        "What is told of the single frames of clips: the class of the digit, that of the "
        "background, or the digit's position, as the mean distance in pixels (linear and "
        "supervised). Only with data of moving_mnist:. Unset: the records' own labels.",
        choices=READOUTS,
    )
    labelled_dataset: Optional[str] = setting(
        None,
        "Data whose features are judged, named as --dataset is, where they are not the run's: a "
        "backbone of photographs may be judged on tfds:cifar10.",
    )
    labelled_data_dir: Optional[str] = setting(
        None, "Folder of --labelled_dataset with prepared tensorflow-datasets data."
    )
    labelled_split: Optional[str] = setting(
        None,
        "Split that classifiers are trained on, where it is not the run's training split. Unset: "
        "that one.",
    )
    baselines: bool = setting(False, "Judge the untrained encoder and raw pixels beside it.")
    evaluation_seed: int = setting(0, "Seeds classifiers, critics and the order of records.", low=0)
    max_train_records: Optional[int] = setting(
        None, "Use so many training records, spread evenly. Unset: all.", low=1
    )

    def check(self) -> None:
        """Settings that would have no effect are refused."""
        self.rates()
        self.milestones()
        self.pair()
        if self.linear_decay_factor != 0.1 and not self.linear_milestones:
            raise SettingsError(
                "linear_decay_factor: expected linear_milestones beside it. Received: "
                f"{self.linear_decay_factor:g} alone.",
                "linear_decay_factor",
            )
        for field in dataclasses.fields(self):
            reader = field.metadata["help"].partition(":")[0]
            if reader in PROTOCOLS and reader != self.protocol:
                if getattr(self, field.name) != field.default:
                    raise SettingsError(
                        f"{field.name}: expected only with --protocol={reader}. Received: "
                        f"--protocol={self.protocol}.",
                        field.name,
                    )
        if self.labelled_data_dir is not None and self.labelled_dataset is None:
            raise SettingsError(
                "labelled_data_dir: expected labelled_dataset beside it. Received: "
                f"{self.labelled_data_dir} alone.",
                "labelled_data_dir",
            )
        if self.protocol == "information":
            names = ("layer", "view", "labelled_dataset", "labelled_split", "baselines", "readout")
            reason = "information is that of the run's own views"
            self.refuse(reason, *names, "max_train_records")
        if self.protocol == "supervised":
            reason = "a fresh encoder is trained on the labels, as a whole"
            self.refuse(reason, "layer", "view", "baselines")
        self._check_readout()
        if self.protocol == "knn":
            self.refuse("kNN draws nothing", "evaluation_seed")
        for name in ("augment_min_area", "augment_rand_augment"):
            if getattr(self, name) and not self.augment:
                raise SettingsError(
                    f"{name}: expected --augment beside it. Received: {getattr(self, name)} alone.",
                    name,
                )
        for name in ("baselines", "standardize"):
            if self.augment and getattr(self, name):
                raise SettingsError(
                    f"--augment: expected without --{name}, which needs features extracted once. "
                    "Received: both."
                )
        if self.augment and len(self.rates()) > 1:
            raise SettingsError(
                "--learning_rates: expected one rate with --augment. "
                f"Received: {self.learning_rates!r}."
            )

    def _check_readout(self) -> None:
        """Positions are told by a linear map without steps, and move when an image is cropped."""
        if self.readout != "position":
            return
        if self.protocol not in ("linear", "supervised"):
            raise SettingsError(
                "readout: expected protocol=linear or supervised for positions. Received: "
                f"{self.protocol}.",
                "readout",
            )
        if self.protocol == "linear":
            self.refuse("positions are told by least squares, at once", *_OF_CLASSIFIERS)

    @property
    def name(self) -> str:
        """The protocol, and what is judged, as results are named after them."""
        words = [self.protocol, "augmented" if self.augment else ""]
        words += ["rand_augment" if self.augment_rand_augment else "", self.readout or ""]
        words += [self.layer or ""]
        words += [f"view{self.view}"] if self.view else []
        words += ["views{}-{}".format(*self.pair())] if self.pair() else []
        if self.labelled_dataset or self.labelled_split:
            data = f"on {self.labelled_dataset or ''} {self.labelled_split or ''}"
            words.append(re.sub(r"\W+", "-", data).strip("-"))
        return "_".join(word for word in words if word)

    @property
    def needs_labels(self) -> bool:
        """Whether the judged data must have labels."""
        return self.protocol != "information"

    @property
    def judges_classes(self) -> bool:
        """Whether labels are told, and no targets."""
        return self.needs_labels and self.readout != "position"

    def milestones(self) -> Tuple[int, ...]:
        """The milestones of the chosen protocol as numbers; raises SettingsError."""
        name = "mlp_milestones" if self.protocol == "mlp" else "linear_milestones"
        text = getattr(self, name)
        try:
            epochs = tuple(int(part) for part in text.split(",") if part.strip())
        except ValueError:
            epochs = (0,)
        if any(not late > early for early, late in zip((0, *epochs), epochs)):
            raise SettingsError(
                f"--{name}: expected increasing whole numbers >= 1 separated by commas. "
                f"Received: {text!r}."
            )
        return epochs

    def pair(self) -> Optional[Tuple[int, int]]:
        """The numbers of `information_views`, None where unset; raises SettingsError."""
        if self.information_views is None:
            return None
        try:
            first, second = (int(part) for part in self.information_views.split(","))
        except ValueError:
            first = second = 0
        if min(first, second) < 1 or first == second:
            raise SettingsError(
                "information_views: expected two different numbers >= 1, such as 1,3. Received: "
                f"{self.information_views!r}.",
                "information_views",
            )
        return first, second

    def rates(self) -> Tuple[float, ...]:
        """The learning rates as numbers; raises SettingsError."""
        try:
            rates = tuple(float(rate) for rate in self.learning_rates.split(","))
        except ValueError:
            rates = ()
        if not rates or min(rates) <= 0:
            raise SettingsError(
                "--learning_rates: expected positive numbers separated by commas. "
                f"Received: {self.learning_rates!r}."
            )
        return rates

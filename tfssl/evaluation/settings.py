"""What may be chosen about an evaluation."""

import dataclasses
from typing import Optional, Tuple

from tfssl.settings import Settings, SettingsError, setting

PROTOCOLS = ("knn", "linear")


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
        "linear: epochs done when the learning rate drops to a tenth, separated by commas, as in "
        "60,80; empty for a cosine to 0.",
    )
    augment: bool = setting(
        False,
        "linear: new random crops and flips in every pass, through the frozen encoder, instead of "
        "features extracted once.",
    )
    standardize: bool = setting(False, "linear: scale each feature to mean 0 and deviation 1.")
    baselines: bool = setting(False, "Judge the untrained encoder and raw pixels beside it.")
    evaluation_seed: int = setting(0, "linear: seeds the classifier and its order.", low=0)
    max_train_records: Optional[int] = setting(
        None, "Use so many training records, spread evenly. Unset: all.", low=1
    )

    def check(self) -> None:
        """Settings that would have no effect are refused."""
        self.rates()
        self.milestones()
        for field in dataclasses.fields(self):
            reader = field.metadata["help"].partition(":")[0]
            if reader in PROTOCOLS and reader != self.protocol:
                if getattr(self, field.name) != field.default:
                    raise SettingsError(
                        f"{field.name}: expected only with --protocol={reader}. Received: "
                        f"--protocol={self.protocol}.",
                        field.name,
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

    @property
    def name(self) -> str:
        """The protocol as results are named after it."""
        return f"{self.protocol}{'_augmented' if self.augment else ''}"

    def milestones(self) -> Tuple[int, ...]:
        """The milestones as numbers; raises SettingsError."""
        try:
            epochs = tuple(int(part) for part in self.linear_milestones.split(",") if part.strip())
        except ValueError:
            epochs = (0,)
        if any(not late > early for early, late in zip((0, *epochs), epochs)):
            raise SettingsError(
                "--linear_milestones: expected increasing whole numbers >= 1 separated by commas. "
                f"Received: {self.linear_milestones!r}."
            )
        return epochs

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

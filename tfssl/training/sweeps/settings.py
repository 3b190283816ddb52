"""What may be chosen about a sweep, beside its grid."""

import dataclasses
from typing import Optional, Tuple

from tfssl.settings import Settings, SettingsError, setting


@dataclasses.dataclass(frozen=True)
class SweepConfig(Settings):
    """Seeds, columns and pictures of a sweep."""

    seeds: Optional[str] = setting(
        None,
        "Seeds of every point of the grid, separated by commas; they replace --seed. Unset: that "
        "one alone.",
    )
    metrics: str = setting(
        "",
        "Further columns of the tables, separated by commas: scalars of metrics.jsonl, of which "
        "the last value counts.",
    )
    plot: bool = setting(True, "Draw sweep.png, which needs the extra 'plots'.")
    plot_metric: Optional[str] = setting(
        None,
        "The column that is drawn, or any scalar of metrics.jsonl. Unset: knn_top1 where the runs "
        "have it, else loss.",
    )
    plot_over_steps: Optional[str] = setting(
        None, "A scalar of metrics.jsonl that is drawn over the steps too, in over_steps.png."
    )

    def check(self) -> None:
        """Settings that cannot be read, or would have no effect, are refused."""
        self.seed_numbers()
        for name in ("plot_metric", "plot_over_steps"):
            if getattr(self, name) is not None and not self.plot:
                raise SettingsError(f"{name}: expected with --plot. Received: --noplot.", name)

    def seed_numbers(self) -> Optional[Tuple[int, ...]]:
        """The seeds as numbers, None where unset; raises SettingsError."""
        if self.seeds is None:
            return None
        try:
            numbers = tuple(int(seed) for seed in self.seeds.split(","))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
            raise SettingsError(
                "seeds: expected different whole numbers >= 0 separated by commas. Received: "
                f"{self.seeds!r}.",
                "seeds",
            )
        return numbers

    def named_metrics(self) -> Tuple[str, ...]:
        """The scalars of metrics.jsonl that are columns because somebody has asked for them."""
        return tuple(name.strip() for name in self.metrics.split(",") if name.strip())

    def wanted_metrics(self) -> Tuple[str, ...]:
        """Those, and what is drawn: it may be a scalar of metrics.jsonl too."""
        return (*self.named_metrics(), *filter(None, [self.plot_metric]))

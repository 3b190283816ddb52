"""What a method says of itself: what it needs, what it can do, and which of its networks count."""

from typing import Any, Callable, ClassVar, List, Optional, Sequence, Tuple

import tensorflow as tf

from tfssl.methods import _fit
from tfssl.methods._plan import Plan
from tfssl.settings import Settings
from tfssl.views import ViewFamily


class Description:
    """The part of every method that training asks and that no step runs.

    Methods set the class attributes and overwrite what is otherwise with them.

    Attributes:
        Config: the settings class; its fields are the flags `--<method>_*`.
        statistics: names of the scalars that `compute` and `after_pass` give beside the loss.
        min_views: the fewest views the method needs.
        max_views: the most it looks at; None for all there are.
        splits_batch: whether the loss may see a batch in parts (gradient accumulation); a text
            says why not.
        clips: whether its first view is a clip, `[batch, frames, size, size, channels]`.
    """

    Config: ClassVar[type] = Settings
    statistics: ClassVar[Tuple[str, ...]] = ()
    min_views: ClassVar[int] = 2
    max_views: ClassVar[Optional[int]] = 2
    splits_batch: ClassVar[Any] = True
    clips: ClassVar[bool] = False

    @property
    def chance_level(self) -> Optional[float]:
        """The loss of a model that has learned nothing (nats), or None where it has no meaning."""
        return None

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The backbone that evaluation and export use: images -> `[batch, dim]` features."""
        raise AttributeError(f"{type(self).__name__} must say which encoder is evaluated.")

    @property
    def embedding_network(self) -> Optional[tf.keras.Model]:
        """The evaluated encoder and its head: images -> `[batch, dim]`; None: there is no head."""
        return None

    def fresh_encoder(self, build_encoder: Callable[..., tf.keras.Model]) -> tf.keras.Model:
        """An untrained encoder of the evaluated kind, from a function that makes backbones."""
        return build_encoder()

    @property
    def view_generator(self) -> Optional[tf.keras.Model]:
        """A functional model that makes views, normalised images -> three channels; None: none."""
        return None

    def made_views(self, images: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """What a generator makes of a batch's views, `[batch, size, size, 1 or 2]`; none: ()."""
        del images
        return ()

    @property
    def variables_without_momentum(self) -> List[tf.Variable]:
        """Those that the optimizer must update as if its momentum were 0."""
        return []

    @property
    def pseudo_labels(self) -> Optional[tf.Tensor]:
        """`[num_records]` int32, the cluster of every record; None where there are no clusters."""
        return None

    @classmethod
    def check_views(cls, settings: Settings, family: ViewFamily) -> None:
        """Raises SettingsError where a view family does not fit the method."""
        del settings
        _fit.check_views(cls.__name__, family, cls.min_views, cls.max_views)

    @classmethod
    def check_clips(cls, family: ViewFamily) -> None:
        """Raises SettingsError where the method and a view family do not agree about clips."""
        _fit.check_clips(cls.__name__, cls.clips, family)

    @classmethod
    def needs_patches(cls, settings: Settings) -> bool:
        """Whether batches must hold "patches", `[batch, 9, size, size, channels]`."""
        del settings
        return False

    @classmethod
    def check_patches(cls, settings: Settings, patch_size: Optional[int]) -> None:
        """Raises SettingsError where patches are missing or would have no effect.

        Args:
            settings: the method's.
            patch_size: side of the patches that the view family gives; None where it gives none.
        """
        _fit.check_patches(cls.__name__, cls.needs_patches(settings), patch_size)

    @classmethod
    def needs_labelled(cls, settings: Settings) -> bool:
        """Whether batches must hold "labelled", `{"views": (...), "label": [rows]}`.

        Its views are as the others; its rows are drawn for themselves, from the records whose
        label is known.
        """
        del settings
        return False

    @classmethod
    def check_labelled(cls, settings: Settings, given: Sequence[str]) -> None:
        """Raises SettingsError where flags of labelled records, those given, have no effect."""
        _fit.check_labelled(cls.__name__, cls.needs_labelled(settings), given)

    @classmethod
    def check_plan(cls, settings: Settings, plan: Plan) -> None:
        """Raises SettingsError where the sizes of a run do not fit; called before any network."""
        del settings, plan

    @property
    def constant_rate_variables(self) -> List[tf.Variable]:
        """Trained variables that keep the peak learning rate while others follow the schedule."""
        return []

    @property
    def scaled_rate_variables(self) -> List[Tuple[float, List[tf.Variable]]]:
        """Factors on the learning rate, each with the trained variables that it is for.

        Each group has an optimizer of its own, which counts the steps that update the group. All
        other variables have the learning rate itself.
        """
        return []

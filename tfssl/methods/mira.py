"""MIRA: mutual-information-regularised assignment.

Lee, Choi, Kim, Chung, "Unsupervised Visual Representation Learning via Mutual Information
Regularized Assignment", NeurIPS 2022, arXiv 2211.02284. Where paper and released code differ the
defaults are the paper's beta and the code's start of the iteration, mean loss and shared head.
"""

import dataclasses
import math
from typing import Callable, List, Optional, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods._method import Method
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings, SettingsError, setting


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of MIRA; the defaults are those of the ImageNet experiments."""

    num_prototypes: int = setting(3000, "K, the number of clusters.", low=1)
    hidden_dim: int = setting(2048, "Width of the projector's two hidden layers.", low=1)
    projection_dim: int = setting(256, "Width of the projector's output.", low=1)
    student_temperature: float = setting(0.1, "tau_s, of the student's softmax.", above=0.0)
    teacher_temperature: float = setting(0.225, "tau_t, of the teacher's softmax.", above=0.0)
    beta: float = setting(
        2 / 3, "Trade-off of the mutual information, at the end of the run.", low=0.0, below=1.0
    )
    beta_initial: Optional[float] = setting(
        None,
        "beta at the start of the run, then cosine to --mira_beta; the released code uses 0.75. "
        "Unset: constant.",
        low=0.0,
        below=1.0,
    )
    assignment: str = setting(
        "gathered",
        "With several replicas. gathered: logits are gathered once and each replica solves the "
        "whole problem. reduced: each keeps its rows, and column sums are exchanged in every "
        "iteration, as in the released code; little memory, many exchanges.",
        choices=("gathered", "reduced"),
    )
    num_iterations: int = setting(30, "Fixed-point iterations of an assignment.", low=0)
    teacher: bool = setting(True, "Targets from an EMA teacher; off: from the student itself.")
    momentum: float = setting(
        0.99,
        "EMA momentum of the teacher at the start of the run, then cosine to 1.",
        low=0.0,
        high=1.0,
    )
    ema_head: bool = setting(False, "Average the prototypes too; off: the teacher shares them.")
    freeze_head_epochs: int = setting(1, "Epochs in which the prototypes do not move.", low=0)
    loss_reduction: str = setting(
        "mean", "mean over the pairs of views, or their sum over targets.", choices=("mean", "sum")
    )
    evaluate: str = setting(
        "teacher",
        "Which encoder is evaluated and exported; the student where there is no teacher.",
        choices=("teacher", "student"),
    )

    def check(self) -> None:
        """A head is averaged for a teacher only."""
        if self.ema_head and not self.teacher:
            raise SettingsError(
                "ema_head: expected a teacher that uses the averaged prototypes. Received: "
                "ema_head with noteacher.",
                "ema_head",
            )


class MIRA(Method):
    """Predicts, from every view, the MIRA assignment of the image's two global views."""

    Config = Config
    max_views = None
    statistics = (
        *(f"{s}-{p}" for p in ("ps", "pt", "target") for s in ("ent", "ment", "mi")),
        *("kl-pt-target", "kl-ps-target", "kl-pt2-target"),
        *("max-wbar", "used-clusters", "iterate-distance", "momentum", "beta"),
    )

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[[], tf.keras.Model]):
        """Builds student, teacher and prototypes.

        Args:
            settings: see `Config`.
            plan: the sizes of the run, for the schedules.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features.
        """
        super().__init__(settings, plan)
        self.student = self._build_network(build_encoder)
        self.prototypes = self._build_prototypes()
        self.teacher = None
        if settings.teacher:
            self.teacher = layers.Teacher(lambda: self._build_network(build_encoder), self.student)
        self.teacher_prototypes = self.prototypes
        if settings.teacher and settings.ema_head:
            self.teacher_prototypes = layers.Teacher(self._build_prototypes, self.prototypes)

    @property
    def chance_level(self) -> float:
        """ln K times the number of targets that are summed: the loss of a uniform student."""
        targets = 2 if self.settings.loss_reduction == "sum" else 1
        return targets * math.log(self.settings.num_prototypes)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The teacher's encoder with its own batch statistics, or the student's."""
        return self.embedding_network.layers[0]

    @property
    def embedding_network(self) -> tf.keras.Sequential:
        """That encoder and its projector."""
        if self.teacher is None or self.settings.evaluate == "student":
            return self.student
        return self.teacher.network

    def phase(self, step: int) -> str:
        """The prototypes join training after the frozen epochs."""
        frozen = step < self.settings.freeze_head_epochs * self.plan.steps_per_epoch
        return "frozen_head" if frozen else "all"

    def variables_in(self, phase: str) -> List[tf.Variable]:
        """Without the head while it is frozen: it gets neither decay nor momentum."""
        head = [] if phase == "frozen_head" else self.prototypes.trainable_variables
        return self.student.trainable_variables + head

    def before_forward(self) -> None:
        """The teacher follows the student as it is before this step's update."""
        if self.teacher is not None:
            self.teacher.update(self._momentum())
            if self.settings.ema_head:
                self.teacher_prototypes.update(self._momentum())

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """Swapped prediction: each target supervises every view but its own (Eq. 8)."""
        # One call a view: batch statistics are those of a single view.
        student = [self.prototypes(self.student(v, training=True)) for v in batch["views"]]
        if self.teacher is None:
            teacher = [tf.stop_gradient(logits) for logits in student[:2]]
        else:
            teacher = [self._teacher_logits(view) for view in batch["views"][:2]]
        beta = self._beta()
        solutions = [self._assign(logits, beta) for logits in teacher]

        terms = []
        for m, (target, _) in enumerate(solutions):
            others = [logits for v, logits in enumerate(student) if v != m]
            terms.append(tf.add_n([self._cross_entropy(o, target) for o in others]) / len(others))
        loss = tf.add_n(terms)
        if self.settings.loss_reduction == "mean":
            loss /= len(terms)

        by_target = [
            self._statistics(student[1 - m], teacher[m], *solutions[m], beta) for m in (0, 1)
        ]
        logs = {name: (by_target[0][name] + by_target[1][name]) / 2 for name in by_target[0]}
        return loss, {**logs, "momentum": self._momentum(), "beta": beta}

    def _build_network(self, build_encoder: Callable[[], tf.keras.Model]) -> tf.keras.Sequential:
        encoder = build_encoder()
        width = self.settings.hidden_dim
        projector = layers.projector(
            encoder.feature_dim,
            hidden_dims=(width, width),
            output_dim=self.settings.projection_dim,
        )
        network = tf.keras.Sequential([encoder, projector])
        network.build(encoder.input_shape)
        return network

    def _build_prototypes(self) -> layers.Prototypes:
        head = layers.Prototypes(self.settings.num_prototypes, name="prototypes")
        head.build((None, self.settings.projection_dim))
        return head

    def _teacher_logits(self, view: tf.Tensor) -> tf.Tensor:
        # In training mode: the teacher keeps running statistics of its own.
        return tf.stop_gradient(self.teacher_prototypes(self.teacher(view, training=True)))

    def _assign(self, logits: tf.Tensor, beta: tf.Tensor) -> Tuple[tf.Tensor, Logs]:
        """Solves one view's assignment over the global batch (Eqs. 5 to 7).

        Returns:
            This replica's rows of the targets, and how the solution looks as a whole.
        """
        problem = {
            "temperature": self.settings.teacher_temperature,
            "beta": beta,
            "num_iterations": self.settings.num_iterations,
        }
        if self.settings.assignment == "reduced":
            targets, info = ops.mira_assignment_reduced(logits, **problem)
        else:
            rows = ops.cross_replica_concat(logits)
            targets, info = ops.mira_assignment_with_info(rows, **problem)
            targets = ops.local_rows(targets, tf.shape(logits)[0])
        sizes = tf.math.unsorted_segment_sum(
            tf.ones_like(targets[:, 0]),
            tf.argmax(targets, axis=1),
            self.settings.num_prototypes,
        )
        sizes = tf.reduce_sum(ops.cross_replica_concat(sizes[tf.newaxis]), axis=0)
        return targets, {
            "max-wbar": info.max_marginal,
            "used-clusters": tf.reduce_sum(tf.minimum(sizes, 1.0)),
            "iterate-distance": info.distance,
        }

    def _cross_entropy(self, logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return losses.swapped_prediction(
            logits, target, temperature=self.settings.student_temperature
        )

    def _momentum(self) -> tf.Tensor:
        return ops.cosine(
            self.global_step,
            start=self.settings.momentum,
            end=1.0,
            total_steps=self.plan.total_steps,
        )

    def _beta(self) -> tf.Tensor:
        start = self.settings.beta_initial
        return ops.cosine(
            self.global_step,
            start=self.settings.beta if start is None else start,
            end=self.settings.beta,
            total_steps=self.plan.total_steps,
        )

    def _statistics(self, student, teacher, target, health: Logs, beta: tf.Tensor) -> Logs:
        """Entropies and divergences of student, teacher and target distributions (nats)."""
        tau = self.settings.teacher_temperature
        ps = tf.nn.softmax(tf.stop_gradient(student) / self.settings.student_temperature)
        pt = tf.nn.softmax(teacher / tau)
        pt2 = tf.nn.softmax(teacher / tf.cast(tau * (1.0 - beta), teacher.dtype))
        logs = {}
        for name, rows in (("ps", ps), ("pt", pt), ("target", target)):
            entropy = ops.mean_entropy(rows)
            mean = tf.reduce_mean(rows, axis=0, keepdims=True)
            wbar = tf.reduce_mean(ops.cross_replica_concat(mean), axis=0)
            marginal = ops.marginal_entropy(wbar)
            logs.update({f"ent-{name}": entropy, f"ment-{name}": marginal})
            logs[f"mi-{name}"] = marginal - entropy
        logs["kl-pt-target"] = ops.mean_kl(pt, target)
        logs["kl-ps-target"] = ops.mean_kl(ps, target)
        logs["kl-pt2-target"] = ops.mean_kl(pt2, target)
        return {**logs, **health}

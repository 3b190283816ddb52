"""MIRA's training step, re-derived in NumPy from the paper's equations and the step's order."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness

pytestmark = pytest.mark.usefixtures("float64")
TAU_S, TAU_T = 0.1, 0.225


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def assignment(logits, beta, iterations=30):
    """Eq. 7 from the all-ones vector: one more iteration than from the official start."""
    weights = softmax(logits / (TAU_T * (1 - beta)))
    u = np.ones(weights.shape[1])
    for _ in range(iterations + 1):
        a = u ** (-beta / (1 - beta))
        u = (weights / (weights @ a)[:, None]).mean(axis=0) ** (1 - beta)
    scaled = weights * u ** (-beta / (1 - beta))
    return scaled / scaled.sum(axis=1, keepdims=True)


def cross_entropy(target, logits):
    return -(target * np.log(softmax(logits / TAU_S))).sum(axis=1).mean()


def entropy(p):
    return -(p * np.log(p + 1e-10)).sum(axis=-1).mean()


def kl(p, q):
    return (p * (np.log(p + 1e-10) - np.log(q + 1e-10))).sum(axis=1).mean()


def logits_of(method, batch):
    """Student logits of all views and teacher logits of the two global ones, as arrays."""
    student = [method.prototypes(method.student(v, training=True)) for v in batch["views"]]
    teacher = [method.prototypes(method.teacher(v, training=True)) for v in batch["views"][:2]]
    return [s.numpy() for s in student], [t.numpy() for t in teacher]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("sizes", [(16, 16), (16, 16, 12, 12, 12)])
def test_loss_pairs_each_target_with_every_other_view(sizes, reduction):
    """Eq. 8 and its multi-crop form: a view never meets its own target."""
    method = harness.build("mira", loss_reduction=reduction, beta=0.6)
    batch = harness.make_batch("mira", sizes=sizes)
    student, teacher = logits_of(method, batch)
    expected = []
    for m in (0, 1):
        target = assignment(teacher[m], beta=0.6)
        others = [cross_entropy(target, s) for v, s in enumerate(student) if v != m]
        expected.append(np.mean(others))
    expected = sum(expected) if reduction == "sum" else np.mean(expected)
    loss, _ = method.compute(batch)
    np.testing.assert_allclose(float(loss), expected, rtol=1e-6)


def test_statistics_are_those_of_the_other_global_view():
    method = harness.build("mira")
    batch = harness.make_batch("mira", sizes=(16, 16, 12))
    student, teacher = logits_of(method, batch)
    beta = 2 / 3
    expected = {}
    for m in (0, 1):
        ps, pt = softmax(student[1 - m] / TAU_S), softmax(teacher[m] / TAU_T)
        target, pt2 = assignment(teacher[m], beta), softmax(teacher[m] / (TAU_T * (1 - beta)))
        values = {
            "kl-pt-target": kl(pt, target),
            "kl-ps-target": kl(ps, target),
            "kl-pt2-target": kl(pt2, target),
            "max-wbar": target.mean(axis=0).max(),
            "used-clusters": len(set(target.argmax(axis=1))),
        }
        for name, rows in (("ps", ps), ("pt", pt), ("target", target)):
            values[f"ent-{name}"] = entropy(rows)
            values[f"ment-{name}"] = entropy(rows.mean(axis=0))
            values[f"mi-{name}"] = values[f"ment-{name}"] - values[f"ent-{name}"]
        for name, value in values.items():
            expected[name] = expected.get(name, 0) + value / 2
    _, logs = method.compute(batch)
    for name, value in expected.items():
        np.testing.assert_allclose(float(logs[name]), value, rtol=1e-5, atol=1e-9, err_msg=name)
    assert float(logs["beta"]) == pytest.approx(beta)


def test_teacher_follows_the_student_as_it_was_before_the_update():
    method = harness.build("mira", momentum=0.75)
    batch = harness.make_batch("mira")
    harness.step(method, batch)  # Student and teacher differ from here on.
    student = [v.numpy() for v in method.student.trainable_variables]
    teacher = [v.numpy() for v in method.teacher.network.trainable_variables]
    total = method.plan.total_steps
    m = 1 - 0.5 * (1 + np.cos(np.pi * 1 / total)) * (1 - 0.75)
    harness.step(method, batch)
    for old, online, new in zip(teacher, student, method.teacher.network.trainable_variables):
        np.testing.assert_allclose(new.numpy(), m * old + (1 - m) * online, rtol=1e-5, atol=1e-8)


def test_beta_falls_over_the_whole_run():
    method = harness.build("mira", beta_initial=0.75)
    for fraction, beta in ((0, 0.75), (0.25, 0.737796), (0.5, 0.708333), (0.75, 0.678871)):
        method.global_step.assign(int(fraction * method.plan.total_steps))
        _, logs = method.compute(harness.make_batch("mira"))
        assert float(logs["beta"]) == pytest.approx(beta, abs=1e-6)


def test_without_a_teacher_equals_a_teacher_of_momentum_zero():
    """m = 0 keeps the teacher's weights equal to the student's before each update."""
    batch = harness.make_batch("mira")
    plan = harness.make_plan(total_steps=10**9)  # Keeps the cosine at its start.
    one = harness.build("mira", momentum=0.0, plan=plan)
    other = harness.build("mira", teacher=False, plan=plan)
    for _ in range(3):
        assert harness.step(one, batch)["loss"] == pytest.approx(harness.step(other, batch)["loss"])
    weights = zip(one.student.trainable_variables, other.student.trainable_variables)
    assert all(np.allclose(a, b, atol=1e-10) for a, b in weights)
    assert other.evaluated_encoder is other.student.layers[0]


@pytest.mark.parametrize("ema_head", [False, True])
def test_head_is_shared_unless_averaged(ema_head):
    method = harness.build("mira", ema_head=ema_head, freeze_head_epochs=0, momentum=0.9)
    batch = harness.make_batch("mira")
    harness.step(method, batch, times=3)
    head = method.prototypes.trainable_variables[0].numpy()
    if not ema_head:
        assert method.teacher_prototypes is method.prototypes
        return
    averaged = method.teacher_prototypes.network.trainable_variables[0].numpy()
    assert 0 < np.abs(averaged - head).max() < np.abs(head).max()


def test_a_collapsed_batch_stays_collapsed():
    """T7 on the method: identical rows give softmax targets, whose information is zero."""
    method = harness.build("mira")
    view = tf.repeat(harness.make_batch("mira")["views"][0][:1], 8, axis=0)
    _, logs = method.compute({"views": (view, view), "index": tf.range(8, dtype=tf.int64)})
    assert float(logs["mi-target"]) == pytest.approx(0.0, abs=1e-7)

"""MIRA's assignment against values computed with 40 digits (temperature 0.225).

Lee et al. 2022, arXiv 2211.02284. P = softmax(Z / tau), A = softmax(Z / (tau (1 - beta))), W the
assignment of the teacher's logits Z = TEACHER.
"""

import numpy as np
import pytest
import tensorflow as tf

from tests.golden.mira_reference import TAU, assign, enough, information, kl, objective, softmax
from tfssl import losses, ops

TEACHER = np.array(
    [[0.30, 0.10, -0.20], [0.25, 0.05, 0.00], [0.40, -0.10, 0.20], [-0.05, 0.35, 0.15]]
)
STUDENT = np.array(
    [[0.20, 0.15, -0.10], [0.10, 0.00, 0.05], [0.30, -0.20, 0.25], [0.05, 0.30, 0.10]]
)


def test_golden_assignments():
    w = [
        [0.811033747937, 0.180321332659, 0.0086449194041],
        [0.657406831434, 0.146164664843, 0.196428503724],
        [0.630500588308, 0.00256753132486, 0.366931880367],
        [0.00127500038314, 0.845034330128, 0.153690669489],
    ]
    np.testing.assert_allclose(assign(TEACHER, 2 / 3, 30), w, rtol=1e-10)
    one_step = [0.838014356293, 0.153602742024, 0.00838290168255]
    np.testing.assert_allclose(assign(TEACHER, 2 / 3, 1)[0], one_step, rtol=1e-10)
    w = assign(TEACHER, 0.75, enough(0.75))
    np.testing.assert_allclose(w[0], [0.849927252914, 0.147147756362, 0.00292499072399], rtol=1e-9)
    np.testing.assert_allclose(w[3], [0.000120451010015, 0.894657504344, 0.105222044646], rtol=1e-9)
    np.testing.assert_allclose(
        assign(TEACHER, 0.0)[0], [0.658119747235, 0.270561116714, 0.0713191360512], rtol=1e-10
    )


def test_golden_marginals():
    _, info = ops.mira_assignment_with_info(tf.constant(TEACHER), temperature=TAU, beta=2 / 3)
    assert float(info.max_marginal) == pytest.approx(0.525054042015, abs=1e-11)
    marginal = assign(TEACHER, 2 / 3, enough(2 / 3)).mean(axis=0)
    np.testing.assert_allclose(
        marginal, [0.525054042015, 0.293521964739, 0.181423993246], rtol=1e-11
    )
    marginal = assign(TEACHER, 0.75, enough(0.75)).mean(axis=0)
    np.testing.assert_allclose(
        marginal, [0.528910092213, 0.290093838633, 0.180996069154], rtol=1e-11
    )


def test_golden_statistics():
    p, w = softmax(TEACHER / TAU), assign(TEACHER, 2 / 3, 30)
    a = softmax(TEACHER / (TAU / 3))
    for rows, mean, marginal, mi in (
        (p, 0.8719635211, 1.0290169100, 0.1570533889),
        (a, 0.2855082487, 0.7356605776, 0.4501523289),
        (w, 0.6272402103, 1.0077442263, 0.3805040160),
    ):
        assert float(ops.mean_entropy(rows)) == pytest.approx(mean, abs=2e-9)
        assert float(ops.marginal_entropy(rows.mean(axis=0))) == pytest.approx(marginal, abs=2e-9)
        assert float(ops.mutual_information(rows)) == pytest.approx(mi, abs=2e-9)
    assert kl(w, p) == pytest.approx(0.0844408233, abs=1e-10)
    # 1e-10 inside the logarithms, beside a smallest target of 0.0013, is seen in the ninth digit.
    assert float(ops.mean_kl(w, p)) == pytest.approx(0.0844408233, abs=5e-9)
    assert float(ops.mean_kl(p, w)) == pytest.approx(0.1905868022, abs=5e-9)
    assert float(ops.mean_kl(a, w)) == pytest.approx(0.1335200232, abs=5e-9)
    assert objective(w, p, 2 / 3) == pytest.approx(-0.1692285207, abs=1e-10)
    assert objective(p, p, 2 / 3) == pytest.approx(-0.1047022592, abs=1e-10)


@pytest.mark.parametrize(
    "beta, mi, distance",
    [
        (0.25, 0.22015688, 0.00838852),
        (0.5, 0.30761766, 0.04166415),
        (2 / 3, 0.38050402, 0.08444082),
        (0.75, 0.43205583, 0.12109906),
        (0.9, 0.63188361, 0.28841844),
    ],
)
def test_golden_information_over_beta(beta, mi, distance):
    w = assign(TEACHER, beta, enough(beta))
    assert information(w) == pytest.approx(mi, abs=1e-8)
    assert kl(w, softmax(TEACHER / TAU)) == pytest.approx(distance, abs=1e-8)


def test_golden_losses():
    forward, backward = (
        float(
            losses.swapped_prediction(
                tf.constant(student), assign(teacher, 2 / 3, 30), temperature=0.1
            )
        )
        for teacher, student in ((TEACHER, STUDENT), (STUDENT, TEACHER))
    )
    assert forward == pytest.approx(0.6818024398, abs=1e-10)
    assert backward == pytest.approx(1.0445661592, abs=1e-10)

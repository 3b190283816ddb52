"""Teacher: the average, its statistics, what it hides from optimizers, replicas and checkpoints."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng, normal
from tfssl import backbones
from tfssl.layers import Teacher, projector

SIZE = 8


def _encoder():
    backbone = backbones.build("tiny", image_size=SIZE, stem="cifar_stride2", width=0.5)
    head = projector(backbone.feature_dim, hidden_dims=(6,), output_dim=4)
    return tf.keras.Sequential([backbone, head])


class Method(tf.keras.Model):
    """The least that owns a network and its teacher."""

    def __init__(self):
        super().__init__()
        self.online = _encoder()
        self.teacher = Teacher(_encoder, self.online)


def _move(network):
    """New random values for everything, as training would give."""
    random = fresh_rng()
    network.set_weights([random.uniform(0.5, 1.5, w.shape) for w in network.get_weights()])


def _values(variables):
    return [variable.numpy() for variable in variables]


def _assert_all_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        np.testing.assert_array_equal(a, b)


def test_starts_as_an_exact_copy_with_weights_of_its_own():
    online = _encoder()
    _move(online)
    teacher = Teacher(_encoder, online)
    _assert_all_equal(_values(teacher.network.weights), _values(online.weights))
    images = normal([4, SIZE, SIZE, 3])
    np.testing.assert_array_equal(teacher(images), online(images, training=True))
    before = _values(teacher.network.trainable_weights)
    _move(online)
    _assert_all_equal(_values(teacher.network.trainable_weights), before)


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_two_updates_against_numpy(mode, as_tensor):
    online = _encoder()
    teacher = Teacher(_encoder, online)
    update = teacher.update
    if mode != "eager":
        update = tf.function(teacher.update, jit_compile=mode == "xla", autograph=False)
    expected = [v.astype(np.float64) for v in _values(teacher.network.trainable_weights)]
    for momentum in (0.9, 0.3):
        _move(online)
        parameters = _values(online.trainable_weights)
        expected = [momentum * e + (1 - momentum) * o for e, o in zip(expected, parameters)]
        update(tf.constant(momentum) if as_tensor else momentum)
        for ours, theirs in zip(_values(teacher.network.trainable_weights), expected):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
        _assert_all_equal(_values(online.trainable_weights), parameters)


@pytest.mark.parametrize("momentum", [0, 0.0, 1, 1.0])
def test_ends_of_the_range_are_exact(momentum):
    online = _encoder()
    teacher = Teacher(_encoder, online)
    before = _values(teacher.network.trainable_weights)
    _move(online)
    teacher.update(momentum)
    expected = before if momentum else _values(online.trainable_weights)
    _assert_all_equal(_values(teacher.network.trainable_weights), expected)


def test_average_stays_between_and_approaches():
    online = _encoder()
    teacher = Teacher(_encoder, online)
    _move(online)
    for _ in range(5):
        before = _values(teacher.network.trainable_weights)
        momentum = fresh_rng().uniform(0.05, 0.95)
        teacher.update(momentum)
        for e, b, o in zip(
            _values(teacher.network.trainable_weights), before, _values(online.trainable_weights)
        ):
            np.testing.assert_allclose(np.abs(e - o), momentum * np.abs(b - o), atol=1e-6)


def test_update_leaves_moving_statistics_to_the_teacher():
    online = _encoder()
    teacher = Teacher(_encoder, online)
    own = _values(teacher.network.non_trainable_weights)
    online(10 + normal([8, SIZE, SIZE, 3]), training=True)
    teacher.update(0.5)
    _assert_all_equal(_values(teacher.network.non_trainable_weights), own)
    teacher(5 * normal([8, SIZE, SIZE, 3]))
    moved = _values(teacher.network.non_trainable_weights)
    assert all(not np.array_equal(a, b) for a, b in zip(moved, own))
    # Evaluation reads them and leaves them.
    teacher(normal([8, SIZE, SIZE, 3]), training=False)
    _assert_all_equal(_values(teacher.network.non_trainable_weights), moved)


def test_training_mode_normalises_by_the_batch():
    online = _encoder()
    teacher = Teacher(_encoder, online)
    images = normal([8, SIZE, SIZE, 3])
    np.testing.assert_allclose(teacher(images), teacher(images), atol=1e-6)
    assert not np.allclose(teacher(images), teacher(images, training=False), atol=1e-3)


def test_no_gradient_reaches_the_teacher_or_passes_through_it():
    online = _encoder()
    teacher = Teacher(_encoder, online)
    images = normal([4, SIZE, SIZE, 3])
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(teacher(images) ** 2)
    gradients = tape.gradient(loss, [images, *teacher.network.weights, *online.weights])
    assert all(gradient is None for gradient in gradients)


def test_owner_trains_the_online_network_only():
    method = Method()
    owned = {variable.ref() for variable in method.trainable_variables}
    assert owned == {variable.ref() for variable in method.online.trainable_variables}
    assert method.teacher.trainable_weights == []
    assert method.teacher.trainable_variables == []
    listed = {v.ref() for v in method.non_trainable_variables}
    assert {v.ref() for v in method.teacher.network.weights} <= listed
    assert len(method.weights) == 2 * len(method.online.weights)
    # Its batch normalisation would fall into inference mode if its layers were frozen.
    layers = [m for m in method.teacher.submodules if isinstance(m, tf.keras.layers.Layer)]
    assert len(layers) > 8 and all(layer.trainable for layer in layers)


def test_checkpoint_restores_teacher_apart_from_online(tmp_path):
    method = Method()
    _move(method.online)
    _move(method.teacher.network)
    path = tf.train.Checkpoint(model=method).save(str(tmp_path / "ckpt"))
    other = Method()
    tf.train.Checkpoint(model=other).restore(path).assert_consumed()
    _assert_all_equal(_values(other.weights), _values(method.weights))
    other.teacher.update(0.25)
    for e, before, o in zip(
        _values(other.teacher.network.trainable_weights),
        _values(method.teacher.network.trainable_weights),
        _values(method.online.trainable_weights),
    ):
        np.testing.assert_allclose(e, 0.25 * before + 0.75 * o, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_averages_in_float32(policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    online = _encoder()
    teacher = Teacher(_encoder, online)
    _move(online)
    before = _values(teacher.network.trainable_weights)
    # A step of 1 - m this small vanishes in half precision.
    teacher.update(0.9999)
    for e, b, o in zip(
        _values(teacher.network.trainable_weights), before, _values(online.trainable_weights)
    ):
        assert e.dtype == np.float32
        np.testing.assert_allclose(
            e, 0.9999 * b.astype(np.float64) + 0.0001 * o, rtol=1e-6, atol=1e-7
        )
    assert teacher(normal([4, SIZE, SIZE, 3])).dtype == tf.float32


def test_update_where_variables_read_as_half_precision_is_refused():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")

    class Wrong(Method):
        def call(self, images):
            self.teacher.update(0.99)
            return self.teacher(images)

    with pytest.raises(ValueError, match="update: expected a call from outside.*bfloat16"):
        Wrong()(normal([4, SIZE, SIZE, 3]))


def test_float64_momentum_is_not_rounded_to_float32(float64):
    online = projector(4, hidden_dims=(), output_dim=3)
    teacher = Teacher(lambda: projector(4, hidden_dims=(), output_dim=3), online)
    before = _values(teacher.network.trainable_weights)
    _move(online)
    teacher.update(0.99)
    for e, b, o in zip(
        _values(teacher.network.trainable_weights), before, _values(online.trainable_weights)
    ):
        np.testing.assert_allclose(e, 0.99 * b + 0.01 * o, rtol=0, atol=1e-15)


@pytest.mark.slow
def test_every_replica_makes_the_same_update(two_replicas):
    with two_replicas.scope():
        method = Method()
    start = _values(method.teacher.network.trainable_weights)
    _move(method.online)
    online = _values(method.online.trainable_weights)
    images = normal([8, SIZE, SIZE, 3])
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: images[4 * context.replica_id_in_sync_group :][:4]
    )

    @tf.function(autograph=False)
    def step(x):
        def replica(x):
            method.teacher.update(tf.constant(0.75))
            return method.teacher(x)

        return two_replicas.run(replica, [x])

    outputs = tf.concat(two_replicas.experimental_local_results(step(halves)), 0)
    for variable, b, o in zip(method.teacher.network.trainable_weights, start, online):
        copies = [v.numpy() for v in two_replicas.experimental_local_results(variable)]
        assert len(copies) == 2
        np.testing.assert_array_equal(copies[0], copies[1])
        np.testing.assert_allclose(copies[0], 0.75 * b + 0.25 * o, rtol=1e-6, atol=1e-7)
    # One device with the averaged weights and the whole batch gives the same outputs.
    alone = _encoder()
    alone.set_weights(method.teacher.network.get_weights())
    np.testing.assert_allclose(outputs, alone(images, training=True), atol=1e-4)
    # In cross-replica context an update is one update, too.
    method.teacher.update(0.0)
    _assert_all_equal(_values(method.teacher.network.trainable_weights), online)


def test_whole_step_compiles_and_agrees_with_eager():
    images = normal([4, SIZE, SIZE, 3])
    online, twin = _encoder(), _encoder()
    twin.set_weights(online.get_weights())

    def step(network, teacher):
        with tf.GradientTape() as tape:
            student = network(images, training=True)
            teacher.update(0.9)
            loss = tf.reduce_mean((student - teacher(images + 1.0)) ** 2)
        gradients = tape.gradient(loss, network.trainable_variables)
        for variable, gradient in zip(network.trainable_variables, gradients):
            variable.assign_sub(0.1 * gradient)
        return loss

    first, second = Teacher(_encoder, online), Teacher(_encoder, twin)
    compiled = tf.function(lambda: step(online, first), jit_compile=True, autograph=False)
    for _ in range(2):
        assert float(compiled()) == pytest.approx(float(step(twin, second)), rel=1e-4)
    for a, b in zip(_values(first.network.weights), _values(second.network.weights)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "momentum", [-0.1, 1.1, float("nan"), float("inf"), tf.constant([0.5]), tf.constant(2.0)]
)
def test_update_refuses_momentum_outside_its_range(momentum):
    teacher = Teacher(_encoder, _encoder())
    before = _values(teacher.network.weights)
    with pytest.raises(ValueError, match="momentum: expected a scalar in"):
        teacher.update(momentum)
    _assert_all_equal(_values(teacher.network.weights), before)


def test_construction_refuses_what_is_not_a_second_built_copy():
    def head(**options):
        return projector(4, **{"hidden_dims": (6,), "output_dim": 3, **options})

    online = head()
    with pytest.raises(ValueError, match="online network itself"):
        Teacher(lambda: online, online)
    with pytest.raises(ValueError, match="build: expected a built network"):
        Teacher(lambda: tf.keras.Sequential([tf.keras.layers.Dense(3)]), online)
    with pytest.raises(ValueError, match="online: expected a built network"):
        Teacher(head, tf.keras.Sequential([tf.keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match=r"kernel\(6, 5\) instead of kernel\(6, 3\)"):
        Teacher(lambda: head(output_dim=5), online)
    with pytest.raises(ValueError, match=r"4 instead of 5 trainable_weights.*None instead of bias"):
        Teacher(lambda: head(output_bias=False), online)

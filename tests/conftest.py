"""What every test shares: Keras 2 behind tf.keras, two logical CPU devices, and clean policies."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Replicas are logical CPUs here; a GPU on the developer's machine must not change what is tested.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

import tfssl  # noqa: F401  (before TensorFlow, because it selects Keras 2)

# isort: split
import tensorflow as tf

from tests import random_inputs

# Folders whose files take minutes. They are a part of their own, because a process keeps all that
# XLA has compiled for it: of all tests that is more than 20 GB.
_LONG = ("contract", "golden", "tools", "training")


def pytest_configure(config):
    """Splits the CPU into two logical devices before anything touches TensorFlow's runtime."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    # Rewriting graphs before they run costs more than tests of tiny ones gain by it. The commands,
    # which tests start as processes of their own, do rewrite them.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # Imported modules stay; looking for garbage in them takes a twentieth of all time.
    gc.collect()
    gc.freeze()
    # Tracing makes many objects that live: the default of 700 looks at them again and again.
    gc.set_threshold(100_000, 50, 100)
    # pytest-xdist would put files with few tests last, which are those that take minutes.
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Long files are marked, and come first: no worker is left alone with one at the end."""
    for item in items:
        if item.path.parts[-2] in _LONG:
            item.add_marker("long")
    items.sort(key=lambda item: item.path.parts[-2] not in _LONG)


@pytest.fixture(scope="session")
def two_replicas():
    """A MirroredStrategy over two logical CPU devices."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def float64():
    """Everything in double precision, so that equal programs agree to many digits."""
    tf.keras.backend.set_floatx("float64")
    tf.keras.mixed_precision.set_global_policy("float64")


@pytest.fixture(autouse=True)
def _seeded():
    """Initial weights repeat from run to run; the precision policy never leaks out of a test."""
    random_inputs.begin_test()
    yield
    tf.keras.mixed_precision.set_global_policy("float32")
    tf.keras.backend.set_floatx("float32")

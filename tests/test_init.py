"""The Keras seam: which Keras is behind tf.keras, and what is said when it cannot be Keras 2."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

import tfssl

NEW = tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 16)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_keras_2_is_behind_tf_keras():
    assert getattr(tf.keras, "__version__", "2").startswith("2")
    assert not hasattr(tf.keras, "ops")


def test_version_is_that_of_the_package():
    assert tfssl.__version__.count(".") == 2


@pytest.mark.skipif(not NEW, reason="TensorFlow 2.15 has no Keras 3 to be confused with")
def test_keras_3_first_is_refused():
    code = (
        "import os; os.environ.pop('TF_USE_LEGACY_KERAS', None)\n"
        "import tensorflow as tf; tf.keras.layers\nimport tfssl"
    )
    result = run(code)
    assert result.returncode != 0
    assert "import tfssl before tensorflow" in result.stderr


@pytest.mark.parametrize("version, words", [(None, "none"), ((2, 1), "2.1")])
def test_a_missing_or_foreign_tf_keras_is_named(monkeypatch, version, words):
    versions = {"tensorflow": (2, 21), "tf-keras": version}
    monkeypatch.setattr(tfssl, "_version", versions.get)
    with pytest.raises(ImportError, match=f"tf-keras={words}.*pip install"):
        tfssl._select_keras()


def test_missing_tensorflow_is_named(monkeypatch):
    monkeypatch.setattr(tfssl, "_version", lambda name: None)
    with pytest.raises(ImportError, match="needs TensorFlow"):
        tfssl._select_keras()


def test_older_tensorflow_needs_no_switch(monkeypatch):
    monkeypatch.setattr(tfssl, "_version", {"tensorflow": (2, 15)}.get)
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    tfssl._select_keras()
    assert "TF_USE_LEGACY_KERAS" not in os.environ

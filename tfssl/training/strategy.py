"""Where the replicas are: one device, all GPUs of a machine, several machines, a TPU."""

import json
import os
from typing import Optional

import tensorflow as tf

from tfssl.settings import SettingsError


def make_strategy(name: str) -> tf.distribute.Strategy:
    """A distribution strategy by name (see `--strategy`).

    Raises:
        SettingsError: what the strategy needs is missing.
    """
    if name == "multiworker":
        _check_cluster(os.environ.get("TF_CONFIG"))
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _tpu_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    several_gpus = devices[0].device_type == "GPU" and len(devices) > 1
    if name == "mirrored" or (name == "auto" and several_gpus):
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run directory: the first worker, or the only one."""
    resolver = strategy.cluster_resolver
    if resolver is None or not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return True
    return resolver.task_type in (None, "chief") or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().as_dict()
    )


def check_batch(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Raises SettingsError unless every replica gets the same number of rows."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise SettingsError(
            "--batch_size: expected a multiple of replicas x micro-batches, so that all get the "
            f"same share. Received: {batch_size} rows a micro-batch for {replicas} replicas."
        )


def _check_cluster(text: Optional[str]) -> None:
    try:
        cluster = json.loads(text or "")["cluster"]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            "--strategy=multiworker: expected TF_CONFIG in the environment, JSON with 'cluster' "
            f"and 'task', one process a worker. Received: TF_CONFIG={text!r}."
        ) from error
    if not cluster.get("worker") and not cluster.get("chief"):
        raise SettingsError(
            f"--strategy=multiworker: expected workers in TF_CONFIG. Received: cluster={cluster}."
        )


def _tpu_strategy() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(os.environ.get("TPU_NAME", ""))
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(
            "--strategy=tpu: expected a TPU (TPU_NAME names it where it is not local). "
            f"Received: {first_line}"
        ) from error

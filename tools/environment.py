"""What a tool's process asks of TensorFlow; imported before it. The user's own values stay."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
# TensorFlow uses oneDNN's kernels on new processors only; training is faster with them on all.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

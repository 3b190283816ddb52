"""Flags of runs that take seconds, and their start in this process."""

from tfssl import config, training

SHORT = [
    "--dataset=digits",
    "--views=digits",
    "--image_size=32",
    "--backbone=tiny",
    "--optimizer=sgd",
    "--lr=0.1",
    "--batch_size=32",
    "--steps=6",
    "--log_every=2",
    "--save_every=2",
    "--gauge_records=64",
    "--knn_records=256",
    # What takes seconds, and is wanted by single tests only.
    "--nofinal_export",
    "--nofinal_knn",
    "--noviews_xla",
]
TINY = [
    *SHORT,
    "--mira_num_prototypes=16",
    "--mira_hidden_dim=32",
    "--mira_projection_dim=16",
]
# It starts sooner than others: no kernel is compiled.
QUICK = [
    *SHORT,
    "--method=simsiam",
    "--simsiam_hidden_dim=16",
    "--simsiam_projection_dim=16",
    "--simsiam_predictor_dim=8",
]


def start(tmp_path, *more, flags=TINY):
    wanted = config.parse([*flags, *more])[0]
    run = training.RunDirectory(tmp_path / "run")
    run.claim(config.to_flagfile(wanted))
    return training.prepare(wanted), run

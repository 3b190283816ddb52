"""What the tools share: one sentence for a mistake, and reading a run."""

import sys
from typing import List, Union

from absl import flags


def refuse(error: Union[Exception, str]) -> int:
    """Prints an error as one sentence; returns the exit code of a refused command."""
    print(f"error: {error}", file=sys.stderr)
    return 2


def parse(arguments: List[str], required: List[str]) -> List[str]:
    """A flags parser for `app.run` that ends with one sentence instead of a traceback."""
    try:
        rest = flags.FLAGS(arguments)
        if len(rest) > 1:
            raise flags.Error(
                f"expected flags only (--name=value). Received: {' '.join(rest[1:])}."
            )
        for name in required:
            if not flags.FLAGS[name].value:
                raise flags.Error(f"--{name}: expected a value. Received: none.")
        return rest
    except flags.UnrecognizedFlagError as error:
        sys.exit(
            refuse(flags.Error(f"expected known flags (--help lists them). Received: {error}"))
        )
    except flags.Error as error:
        sys.exit(refuse(error))

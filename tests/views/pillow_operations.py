"""The operations of RandAugment with Pillow, which the benchmark of views has as its yardstick."""

import importlib.util
import pathlib

_PATH = pathlib.Path(__file__).parents[2] / "tools" / "pillow_operations.py"
_spec = importlib.util.spec_from_file_location("pillow_operations", _PATH)
_operations = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_operations)

POINTS, MAPS, CMC = _operations.POINTS, _operations.MAPS, _operations.CMC
point, affine = _operations.point, _operations.affine
shear_or_translation = _operations.shear_or_translation

"""Handing a trained backbone over to people who do not have this library."""

from tfssl.export.generator import export_generator
from tfssl.export.saved_model import export_saved_model

__all__ = ["export_generator", "export_saved_model"]

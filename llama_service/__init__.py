"""The kernel of llama-service: settings, errors, logging, command line and the embedded stack."""

from importlib import metadata

try:
    __version__ = metadata.version("llama-service")
except metadata.PackageNotFoundError:  # a checkout that nobody installed
    __version__ = "0.0.0+checkout"

"""Loaders: one module per family of formats, each with `load(path, name, mime, limits) -> Extracted`.

They run in the sandbox's child process, so each imports its heavy library only when it is called.
"""

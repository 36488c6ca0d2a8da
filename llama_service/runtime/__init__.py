"""The embedded stack: Postgres, Chroma and the models as supervised children of one process."""

"""What survives a restart: tables, repositories, checkpoints, the vector index and the bytes of files."""

"""From a file to searchable passages: detection, loaders in a sandbox, splitting, queue tasks."""

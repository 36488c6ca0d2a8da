"""A small corpus of real and broken files, made when the tests run; each with the outcome that is expected of it."""

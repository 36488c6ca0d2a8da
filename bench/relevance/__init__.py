"""Fit and measure what says how well passages fit a question: see `python -m bench.relevance --help`."""

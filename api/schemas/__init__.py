"""Shapes on the wire, one module for each part of the API."""

"""The engine that executes the graph: start, stream, cancel, wait, resume, take over, end. It knows no HTTP.

start.py begins a turn, engine.py drives runs and keeps their leases, run.py is one run and how it ends, stream.py
carries its events to readers, branch.py and files.py are what its nodes reach of the database. What follows an answer
is in after_run.py, titles.py and summaries.py.
"""

"""How many small changes to the code would the tests notice?

``python -m tests.mutation`` (or ``tox -e mutation``) changes the modules that the security of a
site hangs on, one place at a time, with Cosmic Ray, runs the tests that come by that line, and
prints the score. All of it takes some hours; ``results.json`` keeps what was seen, so that a run
goes on where the last one was broken off. Whoever survives is killed by a new test, or explained
in ``explained.json``.
"""

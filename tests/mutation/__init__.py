"""Measure how many small changes to the code the tests notice.

``python -m tests.mutation`` (or ``tox -e mutation``) changes the modules that the security of a
site depends on, one place at a time, with Cosmic Ray. It runs the tests that reach that line and
prints the score.

``mutants.py`` makes the changes. ``baseline.py`` measures which tests reach which line.
``child.py`` runs pytest in a fork of a process that has imported everything but this project.
``results.json`` keeps what became of each mutant, so that a run continues where the last one was
interrupted. For a mutant that survives, write a test, or give the reason in ``explained.json``.
"""

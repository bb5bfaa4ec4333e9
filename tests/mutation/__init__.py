"""Measure how many small changes to the code the tests notice.

``python -m tests.mutation`` (or ``tox -e mutation``) changes the modules that matter for the
security of a site, one place at a time, with Cosmic Ray. It runs the tests that reach that line,
and prints the score. A complete run takes some hours. ``results.json`` keeps the results, so a run
continues where the last one was interrupted. If the tests do not notice a mutant, write a test, or
explain the mutant in ``explained.json``.
"""

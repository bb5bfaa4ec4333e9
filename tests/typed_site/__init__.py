"""A site that uses every public name of the package, annotated as strictly as can be.

mypy and pyright read it, ``test_site`` runs it, and ``tests.test_typed_site`` misses a name that is
not used here.
"""

"""A site that uses every public name of the package, with strict annotations.

mypy and pyright check it, ``test_site`` runs it, and ``tests.test_typed_site`` fails if it does not
use a public name.
"""

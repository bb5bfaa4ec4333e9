"""A site with many popular packages, of which django_egnyte is one.

It has its own settings, so its tests run separately: ``tox -e py313-dj61-reference``, or
``pytest --ds tests.reference_site.settings tests/reference_site``.
"""

"""A site with the packages that people use, in which django_egnyte is one app among others.

It has settings of its own, so its tests run by themselves: ``tox -e py313-dj61-reference``, or
``pytest --ds tests.reference_site.settings tests/reference_site``.
"""

"""The test site, watched by django-auditlog and Sentry. Run by ``tests.test_watched_site``.

Both patch Django for the whole process, so they have one of their own.
"""

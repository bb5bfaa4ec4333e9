"""The test site with django-auditlog and Sentry. ``tests.test_watched_site`` runs it.

Both patch Django in the whole process, so they need a process of their own.
"""

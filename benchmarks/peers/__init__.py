"""This app beside its peers, at the same work and on the same provider.

    tox -e peers

installs django-allauth, social-auth-app-django and Authlib into an environment of their own, runs
the contenders in turn, and prints the table of ``docs/reference/benchmarks.rst``. Each contender is
a site in a process that stays up; the provider is this project's sandbox in a process of its own.
``DATABASE_URL`` names another database than SQLite, ``EGNYTE_BENCHMARK_BROKER`` a broker that takes
this app's messages (``memory://`` by default).
"""

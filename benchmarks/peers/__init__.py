"""Compare this app with similar ones, at the same work and with the same provider.

    tox -e peers

installs django-allauth, social-auth-app-django and Authlib into their own environment, runs the
contenders in alternation, and prints the table of ``docs/reference/benchmarks.rst``. Each contender
is a site in its own long-running process. The provider is this project's sandbox in another
process. ``DATABASE_URL`` selects another database than SQLite, and ``EGNYTE_BENCHMARK_BROKER`` the
broker for this app's tasks (``memory://`` by default).

    tox -e peers -- shares

prints where the CPU time of this app goes, from samples of the stack.
"""

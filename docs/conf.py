"""Built with ``python -m sphinx -W -b html docs docs/_build/html``."""

from __future__ import annotations

import json
from pathlib import Path

from django_egnyte import __version__

HERE = Path(__file__).resolve().parent

project = "django-egnyte"
author = "The django-egnyte authors"
copyright = author
version = release = __version__

extensions = ["sphinx.ext.extlinks"]
extlinks = {
    "django": ("https://docs.djangoproject.com/en/stable/%s", "%s"),
    "celery": ("https://docs.celeryq.dev/en/stable/%s", "%s"),
}
exclude_patterns = ["_build"]

# As ``tox -e mutation`` left it.
score = json.loads((HERE.parent / "tests" / "mutation" / "score.json").read_text(encoding="utf-8"))
share = f"{100 * score['killed'] / score['mutants']:.1f} %"
rst_epilog = f"""
.. |mutation score| replace:: on {score["date"]} the tests killed {score["killed"]} of
   {score["mutants"]} mutants ({share}), {score["explained"]} were explained, and
   {score["survived"]} were left
"""
nitpicky = True
default_role = "code"
highlight_language = "none"

html_theme = "furo"
html_title = "django-egnyte"
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_show_sphinx = False

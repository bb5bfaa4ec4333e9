"""Bridges to other parts of Django, each imported only where it is used."""

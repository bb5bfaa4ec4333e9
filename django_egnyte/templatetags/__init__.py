"""Template tags: ``{% load egnyte %}``."""

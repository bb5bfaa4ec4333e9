"""For other packages, each of which is imported by the module of its name alone."""

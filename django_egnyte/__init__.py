"""Link a Django site's users to their Egnyte accounts."""

__version__ = "0.1.0"

"""Support for other packages. Only the module of that name imports the package."""

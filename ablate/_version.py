"""The version, apart from the package itself, which imports the library."""

__version__ = "0.1.0"

"""Sections that a report has where its grid or its data call for them, one file each."""

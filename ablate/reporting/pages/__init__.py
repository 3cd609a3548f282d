"""The report's files: README.md, report.html, cards, tables."""

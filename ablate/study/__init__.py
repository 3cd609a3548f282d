"""What is trained and what a report reads of it, as frozen values: trial, request, record.

Standard library and pydantic only.
"""

"""A prepared study run: its pilot, its trials, its champion."""

"""Knack activities on their way to the bus: planned, sent once in order, and their status written back."""

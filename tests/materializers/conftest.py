"""Marks this folder as importable, so that tests can say ``from parts import roundtrip``."""

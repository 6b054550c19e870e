"""Marks this folder as importable, so that tests can say ``from programs import run``."""

"""The parts of tools/golden.py."""

"""Settings of the whole suite."""

from hypothesis import settings

# Shared machines pause a test for longer than any deadline that would mean something.
settings.register_profile("default", deadline=None, max_examples=200)
settings.load_profile("default")

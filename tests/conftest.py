"""What holds for all tests; modules that tests of several folders share are in `shared`."""

from hypothesis import settings
from loop_fixtures import owned_desk

settings.register_profile("any-machine", deadline=None)  # how long an example takes is the machine's business
settings.load_profile("any-machine")

__all__ = ["owned_desk"]

"""What holds for all tests; modules that tests of several folders share are in `shared`."""

from hypothesis import settings
from loop_fixtures import owned_desk
from postgres_fixture import postgres, postgres_url

settings.register_profile("any-machine", deadline=None)  # how long an example takes is the machine's business
settings.load_profile("any-machine")

__all__ = ["owned_desk", "postgres", "postgres_url"]

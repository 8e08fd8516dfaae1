"""Settings: a TOML file and environment variables in, frozen types out. Also sets up structured logs.

Public names: `Settings` and its parts, `load_settings`, `configure_logs`.
"""

from freehold.config.journal_settings import JournalSettings
from freehold.config.load import find_config, load_settings
from freehold.config.logs import configure_logs
from freehold.config.settings import (
    AccessSettings,
    CacheSettings,
    CandidateSettings,
    ControlSettings,
    CurateSettings,
    DeploymentSettings,
    DrillSettings,
    FallbackSettings,
    GatewaySettings,
    LoopSettings,
    Price,
    RetentionSettings,
    RunnerSettings,
    Settings,
    TaskSettings,
    TelemetrySettings,
    TranslateSettings,
    UpstreamSettings,
)
from freehold.config.student_settings import (
    ModelSettings,
    RolloutSettings,
    SafetySettings,
    ServerSettings,
    StudentSettings,
    TaskStudentSettings,
)

__all__ = [
    "AccessSettings",
    "CacheSettings",
    "CandidateSettings",
    "ControlSettings",
    "CurateSettings",
    "DeploymentSettings",
    "DrillSettings",
    "FallbackSettings",
    "GatewaySettings",
    "JournalSettings",
    "LoopSettings",
    "ModelSettings",
    "Price",
    "RetentionSettings",
    "RolloutSettings",
    "RunnerSettings",
    "SafetySettings",
    "ServerSettings",
    "Settings",
    "StudentSettings",
    "TaskSettings",
    "TaskStudentSettings",
    "TelemetrySettings",
    "TranslateSettings",
    "UpstreamSettings",
    "configure_logs",
    "find_config",
    "load_settings",
]

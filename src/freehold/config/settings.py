"""The settings, frozen. Every field has a default that is right for one machine; `freehold init` writes them out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from freehold.config.curate_settings import CurateStep
from freehold.config.journal_settings import JournalSettings
from freehold.config.store_settings import StoreSettings
from freehold.config.student_settings import ModelSettings, StudentSettings, TaskStudentSettings
from freehold.domain.rights import Organisation
from freehold.domain.scoring import FeedbackScorer, JudgeScorer, Scorer
from freehold.domain.tasks import Task

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
OpenShare = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway]`: where it listens, who may call, and what it bounds."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8484
    workers: Count = 1
    api_key_env: str = ""
    """Environment variable with the key that callers must send; empty: no key is asked for (loopback only)."""
    max_body_bytes: Count = 20_000_000
    max_recorded_response_bytes: Count = 4_000_000
    policy_poll_seconds: Positive = 0.5
    policy_lease_seconds: Positive = 2.0
    """With the control store out of reach for longer, nothing is served by students: a rollback could be waiting."""
    audit_concurrency: Count = 8
    audit_queue: Count = 1000
    rung_timeout_seconds: Positive = 30.0
    """A model of a ladder that has not answered by then (where its answer is passed on as it comes: not begun to) is
    given up, and the incumbent answers."""


class ControlSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[control]`: the control database."""

    url: str = ""
    """A SQLAlchemy URL; empty: SQLite in the data folder."""


class AccessSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[access]`: virtual keys, their limits, and the admin API."""

    required: bool = False
    """Every caller must send a key, even while there is none yet; then the gateway may listen on any address."""
    admin_key_env: str = ""
    """Environment variable with the key of the admin API; empty: there is no admin API."""
    pepper_env: str = ""
    """Environment variable with the secret that keys are digested with, the same on every host; empty: a file in the
    data folder, made on first use."""
    poll_seconds: Positive = 0.5
    """Changes of keys and limits are in force in every worker after at most this and the time of a query."""
    outage_seconds: Annotated[float, msgspec.Meta(ge=0.0)] = 3600.0
    """With the control store out of reach for longer, virtual keys are refused: a revocation could be waiting."""
    without_store: Literal["serve", "refuse"] = "serve"
    """What becomes of requests beyond the leases at hand while limits cannot be looked up: they are answered and
    charged afterwards, or refused."""


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dollars per million tokens, where genai-prices does not know the model or you pay something else."""

    input: Annotated[float, msgspec.Meta(ge=0.0)]
    output: Annotated[float, msgspec.Meta(ge=0.0)]
    cached_input: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    """Read from the provider's cache; None: as any input."""
    cache_write: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    """Written to the provider's cache; None: as any input."""


class DeploymentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[[upstreams.NAME.deployments]]`: one of several places that serve an upstream's models."""

    base_url: str
    api_key_env: str = ""
    """As of the upstream, whose own goes for deployments without one."""
    weight: Count = 1
    """Share of the requests, in proportion to the others'."""


class FallbackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of an upstream's `fallbacks`, where it shall be asked for another model."""

    upstream: str
    model: str = ""
    """Asked for in place of the caller's; empty: the caller's."""


class TranslateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[upstreams.NAME.translate]`: for requests of callers that speak another protocol than the upstream."""

    max_tokens: Count = 16_384
    """Sent to Anthropic's protocol, which needs a limit, when the caller set none."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """The name under which an OpenAI-compatible upstream takes the limit; some know only the older one."""
    extensions: bool = False
    """The OpenAI-compatible upstream takes `top_k`, which OpenAI's own API does not have."""


class UpstreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[upstreams.NAME]`: a provider or server that speaks a wire protocol."""

    base_url: str = ""
    """For example `https://api.openai.com/v1`. With `deployments`: theirs, and this is the first one's."""
    protocol: Literal["openai", "anthropic"] = "openai"
    api_key_env: str = ""
    """Environment variable with the key; empty: the caller's own Authorization header is passed on."""
    keyless: bool = False
    """It asks nobody for a key. A caller's key is never carried to an upstream other than the one asked for, so models
    of ladders and candidates must be here or at an upstream with a key of its own."""
    owned: bool = False
    """You hold the weights of the models it serves: their answers count as owned."""
    models: tuple[str, ...] = ()
    """Names or globs of the models it serves; empty: any model that no other upstream names."""
    fallbacks: tuple[str | FallbackSettings, ...] = ()
    """Upstreams tried in order when this one fails before its first byte."""
    terms: str = ""
    """Whose terms its outputs come under (see `freehold doctor`); empty: known from the host name of its (first)
    base_url, else unknown."""
    prices: dict[str, Price] = {}
    """Model (or `*`) → price."""
    connect_timeout: Positive = 5.0
    first_byte_timeout: Positive = 120.0
    idle_timeout: Positive = 60.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    max_connections: Count = 1000
    """Of each deployment."""
    deployments: tuple[DeploymentSettings, ...] = ()
    """Places that serve the same models under the same terms, in place of `base_url`."""
    hedge_after: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    """Seconds without an answer after which a second deployment is asked as well, and the first to answer wins; 0:
    never. Both may cost."""
    health_path: str = ""
    """Asked for at each deployment's root now and then, such as `/health`; empty: not."""
    health_interval: Positive = 10.0
    private: bool = False
    """Its host names may lead to private addresses. An address, or localhost, in base_url always may."""
    ca_file: str = ""
    """Absolute path of a PEM file with the authorities to trust; empty: the system's."""
    proxy: str = ""
    """URL of an HTTP proxy to go through, such as `http://proxy:3128`."""
    trust_env_proxy: bool = False
    """Go through the proxy that HTTPS_PROXY or HTTP_PROXY names, except to hosts in NO_PROXY."""
    translate: TranslateSettings = TranslateSettings()


class CandidateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[candidates]`: models that might answer instead of the incumbent, asked in the background to learn how well."""

    models: tuple[str, ...] = ()
    """As their upstreams call them; empty: nobody is asked."""
    rate: Share = 0.05
    """Share of the requests answered by the incumbent that all candidates are asked about, drawn at random."""
    dollars_per_day: Annotated[float, msgspec.Meta(ge=0.0)] = 5.0
    """Spent on it at most per UTC day, by all workers of a data folder; a candidate without a known price is not
    asked. Overdrawn by no more than calls under way cost above their estimates."""
    samples: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    """How often each candidate is asked, to see whether it agrees with itself: then a cascade may look at that, too."""
    logprobs: bool = False
    """Ask candidates for their tokens' log-probabilities, which a cascade then looks at; some upstreams refuse that."""
    embedder: str = ""
    """Absolute path of a local sentence-transformers folder that routers shall look at too; empty: none does."""
    min_rows: Count = 200
    """Fewest requests that all candidates have answered before a ladder of them is looked for."""
    signals: tuple[Literal["prompt", "cascade"], ...] = ("prompt", "cascade")
    """What a ladder may choose by: the prompt alone, or answers as well, which costs time when one will not do."""
    risk: Literal["served", "traffic"] = "served"
    """What ε bounds: the mean loss of the answers that candidates give, or that over all requests of the task."""
    loss: Literal["harm", "signed"] = "harm"
    """Where a scorer can prefer a candidate's answer: harm: gains do not count; signed: they offset losses."""


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache]`: whole answers given again to equal requests of the same key; the workers of a host share it."""

    enabled: bool = False
    ttl_seconds: Positive = 3600.0
    """How long an answer may be given again."""
    max_bytes: Count = 1_000_000_000
    """On disk, in the data folder; the oldest answers go first."""
    memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 16_000_000
    """In the memory of each worker, for the answers given last."""
    max_answer_bytes: Count = 1_000_000
    """Longer answers are not kept."""
    sampled: bool = True
    """False: a request is only cached when it asks for `temperature` 0, or for embeddings: others may want a new answer
    each time."""
    ignore_headers: tuple[str, ...] = ()
    """Headers that differ from request to request without changing the answer, such as `x-correlation-id`."""


class RetentionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[retention]`: how long what was recorded is kept; enforced by the loop once a day."""

    traces_days: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    """Traces older than that are removed; 0: none is."""
    feedback_days: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    """The same of feedback; what is about a removed trace goes with it."""
    bodies_days: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    """Requests and answers older than that are blanked: counts, costs and who answered stay. 0: none is. What is gone
    holds no certificate up: audits older than this, or than `traces_days`, no longer count for those in force."""


class TelemetrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[telemetry]`: OpenTelemetry spans and access lines; metrics are always at `/metrics`."""

    otlp_endpoint: str = ""
    """Where spans go, over OTLP/HTTP: `http://localhost:4318/v1/traces`. Empty: none are made. Needs `freehold[otel]`;
    headers, timeouts and certificates come from the environment, as OpenTelemetry names them (OTEL_EXPORTER_OTLP_…)."""
    sample: Share = 1.0
    """Share of the requests without a trace of the caller's that get a span; others follow the caller's flag."""
    content: bool = False
    """True: spans carry prompts and answers, unless the caller asked not to record."""
    log: Literal["problems", "requests"] = "problems"
    """requests: a line for every request; problems: for those only that failed and were not the caller's mistake."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """auto: readable lines on a terminal, JSON elsewhere."""


class LoopSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[loop]`: how the loop works and what it may promise."""

    interval_seconds: Positive = 2.0
    epsilon: OpenShare = 0.02
    """Largest loss allowed per served request."""
    delta: OpenShare = 0.05
    """Probability that a certificate may be wrong, over all attempts on a task."""
    audit_rate: OpenShare = 0.05
    """Share of owned answers that the incumbent is asked about as well."""
    probation_audit_rate: OpenShare = 0.2
    """That share for a rung newly in force, until it has had `probation_audits`: what is wrong shows early, and audits
    are the evidence on which a better student can be certified."""
    probation_audits: Annotated[int, msgspec.Meta(ge=0)] = 200
    audit_dollars_per_day: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    """Spent on audits at most per UTC day, all tasks together; rates then follow from what each certificate needs and
    what audits cost. None: no cap, and the two rates above hold."""
    min_audit_rate: OpenShare = 0.005
    max_audit_rate: OpenShare = 0.5
    """Between these lie the rates under a cap; below the lower one nothing is audited."""
    repeat_rate: Share = 0.01
    repeats_wanted: Count = 100
    min_samples: Count = 200
    """Fewest closed answers before a student is tried."""
    growth: Annotated[float, msgspec.Meta(gt=1.0)] = 1.2
    """A task is looked at again when its evidence has grown by this factor."""
    max_samples: Count = 50_000
    """Most recent samples used to train one student."""
    seed: int = 0
    jobs: Count = 1
    """Tasks that are worked on side by side."""


class TaskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tasks.NAME]`: what differs for one task (by its name or id)."""

    epsilon: OpenShare | None = None
    delta: OpenShare | None = None
    audit_rate: OpenShare | None = None
    move: bool = True
    """False: never moved, only recorded."""
    scorer: Scorer | None = None
    """`[tasks.NAME.scorer]`: `kind` and its options; goes before one that `freehold scorer set` stored."""
    curate: tuple[CurateStep, ...] | None = None
    """`[[tasks.NAME.curate]]`: steps in place of those for all tasks; None: those."""
    student: TaskStudentSettings = TaskStudentSettings()


class CurateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[curate]`: how datasets are made."""

    steps: tuple[CurateStep, ...] = ()
    """`[[curate.steps]]`: of every task that names none of its own. None by default: rows to fit on are then a fair
    sample of the traffic, which lets the loop predict how much a student will answer."""
    canaries: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """Planted rows in what a student is fitted on, to see whether it memorises single ones; 20 are enough to tell."""


class RunnerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[runner]`: where the expensive part of curating runs, and where generative students are trained."""

    kind: Literal["local", "ray"] = "local"
    """ray: on a Ray cluster (`pip install freehold[ray]`), which pays from several machines on: see docs/scale.md."""
    address: str = ""
    """Of the cluster, `HOST:PORT` of its head; empty: what `RAY_ADDRESS` says. Its token is in `RAY_AUTH_TOKEN`."""
    batch_rows: Count = 4096
    """Rows looked at together; it changes no result."""


class DrillSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[drill]`: exit drills."""

    stand_in: str = ""
    """An owned model, as its upstream calls it: answers in a drill what no task's own model can. Its upstream must be
    `owned = true`, with a key of its own or `keyless = true`."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    gateway: GatewaySettings = GatewaySettings()
    control: ControlSettings = ControlSettings()
    access: AccessSettings = AccessSettings()
    journal: JournalSettings = JournalSettings()
    store: StoreSettings = StoreSettings()
    upstreams: dict[str, UpstreamSettings] = {}
    loop: LoopSettings = LoopSettings()
    candidates: CandidateSettings = CandidateSettings()
    cache: CacheSettings = CacheSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    retention: RetentionSettings = RetentionSettings()
    tasks: dict[str, TaskSettings] = {}
    drill: DrillSettings = DrillSettings()
    curate: CurateSettings = CurateSettings()
    runner: RunnerSettings = RunnerSettings()
    students: StudentSettings = StudentSettings()
    models: ModelSettings = ModelSettings()
    organisation: Organisation = Organisation()
    """`[organisation]`: facts that licences ask about."""
    data_dir: str = "freehold-data"
    """Relative to the configuration file."""

    def task(self, name: str, task_id: str) -> TaskSettings:
        """What is set for a task, by its name or its id; all defaults where nothing is."""
        return self.tasks.get(name) or self.tasks.get(task_id) or TaskSettings()

    def curate_steps(self, name: str, task_id: str) -> tuple[CurateStep, ...]:
        """The steps that make a task's dataset."""
        own = self.task(name, task_id).curate
        return self.curate.steps if own is None else own

    def student_kind(self, task: Task) -> Literal["classifier", "generative"] | None:
        """What kind of student can learn a task; None: none can, or none is wanted.

        A generative one needs a scorer that computes, or closed answers, which agree or not.
        """
        wanted, closed = self.task(task.name, task.task_id).student.kind, task.form is not None and task.form.closed
        if closed and wanted != "generative":
            return "classifier"
        computes = task.scorer is not None and not isinstance(task.scorer, FeedbackScorer | JudgeScorer)
        if wanted == "classifier" or not self.recipe_name(task) or not (computes or closed):
            return None
        return "generative"

    def recipe_name(self, task: Task) -> str:
        """The recipe of a task's generative student; empty: it gets none."""
        own = self.task(task.name, task.task_id).student.recipe
        return self.students.recipe if own is None else own

    @property
    def data(self) -> Path:
        """The data folder."""
        return Path(self.data_dir)

    @property
    def control_url(self) -> str:
        """The control database's URL."""
        return self.control.url or f"sqlite:///{self.data / 'control.sqlite'}"

"""What a recipe says: the types of its TOML file. `freehold recipes show NAME` prints every value with its reason.

The text below a field is that reason: a test asks for one below each. A recipe says how a generative student is made of
a dataset, and nothing of what it is made of: the same recipe serves many tasks.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
OpenShare = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a recipe."""


class Scratch(_Part, tag_field="from", tag="scratch", frozen=True, kw_only=True):
    """`[model] from = "scratch"`: a small Qwen3 from random weights, with a tokenizer of its own. That is Llama with
    normed queries and keys, without which attention was often stuck where it had looked first."""

    hidden: Count = 128
    """Closed grammars need memory for their words more than depth: 128 learned tickets and SQL as well as 256 did in a
    third of the time."""
    layers: Count = 3
    """Copying a field wants two layers (find, then copy); the third orders what is copied."""
    heads: Count = 2
    """64 dimensions each at a `hidden` of 128. Positions turn half of them too quickly to tell what a token is, and
    what is left of 32 did not find the thousand tokens that may be copied. Must divide `hidden`."""
    intermediate: Count = 352
    """About 8/3 of `hidden`, as Llama has it (Touvron et al. 2023, section 2.2), in whole vector registers."""
    dropout: OpenShare = 0.0
    """Share of the numbers that are set to 0 in embeddings and in what each layer adds, while it learns (Srivastava et
    al. 2014). None: a run of few epochs costs a tenth more with it; for phrasings never seen it can be worth that."""
    vocabulary: Annotated[int, msgspec.Meta(ge=300, le=200_000)] = 1024
    """Pieces of the tokenizer, bytes included: no text is outside it. A token for each number of two digits comes
    on top. More swallow whole names that were seen, and those that were not then fall into pieces that are hardly
    trained."""


class Base(_Part, tag_field="from", tag="base", frozen=True, kw_only=True):
    """`[model] from = "base"`: weights that are there already."""

    name: str = ""
    """A folder under `[models] folders`, a path, or a hub name listed in `[models] hub`; empty: `[students] base`, so
    that one recipe serves every base."""


class Adapter(_Part, frozen=True, kw_only=True):
    """`[adapter]`: LoRA (Hu et al. 2021) in place of full weights. For real bases: less memory, many tasks on one."""

    rank: Count = 16
    """Enough for one task: ranks of 8 to 64 are hardly told apart (Hu et al., table 6)."""
    alpha: Positive = 32.0
    """Twice the rank, as is usual: the rate then need not change with it."""
    dropout: OpenShare = 0.0
    """None: few epochs, and an early stop, do the same without making runs noisier."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """All linear layers: attention alone learns less (Dettmers et al. 2023, section 5)."""


class Data(_Part, frozen=True, kw_only=True):
    """`[data]`: which tokens are shown, and which are learned."""

    context: Annotated[int, msgspec.Meta(ge=16)] = 256
    """Longest example in tokens; longer ones are left out and counted, never cut."""
    pack: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Length of the rows that examples are packed into, kept apart by the attention mask. 0: each is a row, and those
    of like length share a batch; attention then costs least, as it looks at no more than an example."""
    learn: Literal["answer", "assistant"] = "answer"
    """answer: the last turn. assistant: every turn of the model's own, tool calls included, never what tools said: for
    trajectories."""
    prompt_weight: Share = 0.0
    """How much the loss of a prompt's token counts beside that of a learned one. None for a base model, which knows the
    language; from random weights it is learned here, but as much as the answers is too much."""
    samples: Count = 1
    """Answers of the teacher per prompt that are taken where several are recorded (sequence-level distillation, Kim and
    Rush 2016)."""
    best_of: bool = True
    """Of several answers keep the best by the task's scorer; false: all `samples` of them."""
    copying: Natural = 0
    """Exercises in copying before the first example, for models from random weights: meaningless tokens, which the
    answer repeats. None but where a recipe asks for them: a base model copies already."""
    noise_words: Share = 0.0
    """Share of examples in which a word or number that the answer repeats is replaced by a made-up one in both: copying
    is then learned instead of the words."""
    noise_prompt: Share = 0.0
    """Share of examples in which a sixth to all of the prompt's words, those aside that the answer repeats, are made
    up, left out, others, or followed by a made-up one: in phrasings never seen, what else is said must do. Words that
    tell the answer are mistyped instead."""
    noise_capitals: Share = 0.0
    """Share of examples shown in another case."""


class Optimizer(_Part, frozen=True, kw_only=True):
    """`[optimizer]`: how weights are changed."""

    kind: Literal["adamw", "muon"] = "adamw"
    """muon (Jordan et al. 2024): matrices by orthogonalised momentum, the rest by AdamW. From scratch it learned half
    of a task where AdamW had learned a twentieth; for LoRA AdamW is as good and known better."""
    rate: Positive = 2e-4
    """Of AdamW's parameters; the usual one for LoRA."""
    matrix_rate: Positive = 0.01
    """Of Muon's matrices: its steps have one size whatever the gradient's, so that it is larger than AdamW's rates."""
    weight_decay: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    """None: the early stop on the tune split looks after overfitting, and a short run has no time to decay."""
    warmup: Share = 0.03
    """Share of the steps in which rates rise from 0: AdamW's second moments are noise at first."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """How rates then fall: the last steps settle what the large ones found. cosine keeps them large for longer than
    linear; constant is for runs whose end is not known."""
    clip: Positive = 1.0
    """Largest norm of the gradient: one odd example does not throw the run."""


class Run(_Part, frozen=True, kw_only=True):
    """`[run]`: how long, in which portions, on what."""

    epochs: Positive = 3.0
    """More mostly learn rows by heart; the early stop ends sooner where that begins."""
    steps: Natural = 0
    """At least so many, in more epochs if need be: how long a model from random weights needs depends little on how
    many examples there are. None: epochs decide."""
    batch_tokens: Count = 2048
    """Tokens per step over all workers and accumulations: rates depend on it, not on how many workers there are."""
    accumulate: Count = 1
    """Parts that a step's tokens are computed in, where they do not fit into memory at once."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on a GPU, and on CPUs with AMX for models wide enough to gain by it; else float32. With
    AVX512-BF16 alone, bfloat16 took 1.4 to 1.6 times as long."""
    workers: Count = 1
    """Processes that share each batch (data-parallel)."""
    threads: Count = 1
    """Per worker. One gives the same bytes on every run, and for small models two workers are quicker than two
    threads."""
    evaluate_every: Count = 200
    """Steps between looks at the tune split. Its rows with the most loss, one in twenty, do not count: there the
    incumbent was wrong."""
    patience: Natural = 4
    """Looks without a better loss after which training stops; 0: it never stops early."""
    checkpoint_every: Count = 200
    """Steps: a run that is killed goes on from there, to the same bytes."""
    watts_per_core: Positive = 8.0
    """For the estimate of energy, where the machine does not measure it."""


class Preference(_Part, frozen=True, kw_only=True):
    """`[preference]`: for `method = "dpo"` (Rafailov et al. 2023)."""

    beta: Positive = 0.1
    """Of the paper's experiments; larger stays nearer to what was there before."""
    pairs: Literal["feedback", "incumbent", "both"] = "both"
    """feedback: answers people preferred or edited. incumbent: the incumbent's answer over the student's own, where the
    scorer says that the student's was worse."""


class Recipe(_Part, frozen=True, kw_only=True):
    """A whole recipe."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """What students made by it are listed with."""
    about: str
    """One sentence: for what it is, and for what it is not."""
    method: Literal["sft", "dpo"] = "sft"
    """sft: learn the answers. dpo: learn to prefer one of two, after that; a student that cannot answer at all yet has
    nothing to prefer."""
    model: Scratch | Base
    """`[model]`: random weights or a base model's. There is no default: it decides everything else."""
    adapter: Adapter | None = None
    """None: full weights."""
    data: Data = Data()
    """What is shown."""
    optimizer: Optimizer = Optimizer()
    """How weights are changed."""
    run: Run = Run()
    """How long, in which portions, on what."""
    preference: Preference | None = None
    """None, or for `method = "dpo"`; then an empty table takes the defaults."""
    max_answer_tokens: Count = 128
    """A student that has not ended by then has no answer: the incumbent is asked. Half of the default context."""

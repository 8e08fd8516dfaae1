"""What a router may look at, and what it makes of it: predicted losses and costs, novelty, whether to accept.

Inference only, on plain arrays: this runs in the path of a request. Fitting is `freehold.train.router`'s job.

- `outcomes`: `Outcomes`, what each of several models gave for each prompt: the evidence
- `text`: `hash_text`, `structure`: a prompt's features, without a transformer
- `prompts`: `PromptModel`: predicted losses and costs of a prompt, and how novel it is
- `answers`: `AnswerSignals`, `final_answer`, `answer_features`: what is known after a model has answered
- `ladder`: `Step`, `LadderRule`: which rung shall answer, and whether its answer will do
- `router`: `Router`: all of it, as stored and loaded by the gateway
"""

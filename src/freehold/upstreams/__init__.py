"""Whatever answers requests, and the seam that all of it shares.

`base` is the seam (`Upstream`: a request in, an answer's bytes pushed out); `reading` is for coroutines; `http` speaks
HTTP to providers; `anthropic` stands between callers and upstreams of different protocols, and `translate` turns one
into the other; `recorded` is a real HTTP server over recorded answers; `student` answers in this process. `directory`
finds the upstream of a model, and `falling` goes on to its fallbacks.
"""

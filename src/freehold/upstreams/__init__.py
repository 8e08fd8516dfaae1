"""One folder per wire protocol, and the seam they share.

`base` is the seam (`Upstream`: a request in, an answer's bytes pushed out); `reading` is for coroutines; `http`
speaks HTTP to providers; `recorded` is a real HTTP server over recorded answers; `student` answers in this process;
`translate` turns one protocol into another. `directory` finds the upstream of a model.
"""

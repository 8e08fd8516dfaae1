"""What those who run the gateway see of it: counts, spans, trace context and access lines. Nothing here can fail a
request, and nothing carries a prompt, an answer or a secret unless `[telemetry] content` asks for the first two.
"""

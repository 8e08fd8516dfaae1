"""What those who run the gateway see of it: counts, spans, trace context and access lines. Nothing here can fail a
request, and nothing carries a prompt, an answer or a secret unless `[telemetry] content` asks for the first two.

    counts → gather → page → exposition     numbers in a mapped file per worker, added up when somebody asks
    families, gauges                        every metric's name and labels; what is read twice a second
    telemetry → outbox → spans, access_log  finished exchanges, handed to threads
    trace_context, genai                    the names and forms of W3C and OpenTelemetry

`metrics.Metrics` counts, `telemetry.Telemetry` is told of exchanges: the gateway knows these two.
"""

"""Token buckets: in Redis for all processes, in a process's own memory while Redis is away."""

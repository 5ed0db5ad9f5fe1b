-- The trace of what caused an event, for the spans of its deliveries (docs/adr/0016-tracing.md). NULL of events of before.
--
-- Safe while the previous release runs: it names no trace and asks for none.

ALTER TABLE events ADD COLUMN trace_id text COLLATE "C";

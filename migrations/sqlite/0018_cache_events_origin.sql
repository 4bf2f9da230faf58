-- Polling skips an instance's own commits within the index, without a look at each row.
-- compatible_from: 1
DROP INDEX cache_events_created;
CREATE INDEX cache_events_created ON cache_events (created_at, origin);

-- Polling skips an instance's own commits within the index, without a look at each row.
-- compatible_from: 1
ALTER TABLE cache_events
  DROP KEY cache_events_created,
  ADD KEY cache_events_created (created_at, origin);

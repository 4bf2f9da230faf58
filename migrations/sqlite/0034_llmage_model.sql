-- Usage names models by what a call asked for, which is their name where they are offered.
-- compatible_from: 1
CREATE INDEX llmage_cache_model ON llmage_cache (model, created_at, id);

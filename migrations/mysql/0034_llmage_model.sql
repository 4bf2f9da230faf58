-- Usage names models by what a call asked for, which is their name where they are offered.
-- compatible_from: 1
ALTER TABLE llmage_cache ADD KEY llmage_cache_model (model, created_at, id);

-- The Redis that the store is worked through.
ALTER TABLE schema_info ADD COLUMN redis_id TEXT;               -- that Redis's own name, drawn once
ALTER TABLE schema_info ADD COLUMN redis_place TEXT;            -- for people
ALTER TABLE schema_info ADD COLUMN redis_seen_at {double};      -- by the database's clock

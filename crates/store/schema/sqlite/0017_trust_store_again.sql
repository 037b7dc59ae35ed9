-- Within how many seconds of the last report of a trust store the next one was promised; 0 if none was.
ALTER TABLE trust_store ADD COLUMN again_within INTEGER NOT NULL DEFAULT 0;

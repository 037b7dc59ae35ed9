-- The events that change trust, in their order: who follows them reads these and no others. The kinds
-- are those of store/src/trust_change.rs, in the same words.
CREATE INDEX event_trust ON event(seq) WHERE kind IN (13, 40, 41, 42);

-- Exceptions: who may be let in for a time although something speaks against it. lifts is the words of
-- the reasons with commas. approved, over and the names beside them are 0 and '' until then.
CREATE TABLE exception(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, state INTEGER NOT NULL, scope INTEGER NOT NULL,
  name TEXT NOT NULL, lifts TEXT NOT NULL, reason TEXT NOT NULL, until INTEGER NOT NULL,
  added INTEGER NOT NULL, added_no INTEGER NOT NULL, added_by TEXT NOT NULL,
  approved INTEGER NOT NULL, approved_no INTEGER NOT NULL, approved_by TEXT NOT NULL,
  over INTEGER NOT NULL, over_by TEXT NOT NULL, over_why TEXT NOT NULL) STRICT;
CREATE INDEX exception_state ON exception(tenant, state, no);

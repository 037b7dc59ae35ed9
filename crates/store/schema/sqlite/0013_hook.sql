-- Who is told of trust changes, or has sessions ended by us. The secret is sealed under a key of the
-- keyring; empty for one without.
CREATE TABLE hook(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, removed INTEGER NOT NULL, since INTEGER NOT NULL,
  name TEXT NOT NULL, document TEXT NOT NULL, secret BLOB NOT NULL, UNIQUE(tenant, name)) STRICT;

-- How far each has come: the last event it was told, the last one whose sessions were ended once
-- more, and what became of it lately. A fact about the record, not in it; if it were lost, hooks
-- would be told again.
CREATE TABLE hook_place(
  hook INTEGER PRIMARY KEY, told INTEGER NOT NULL, again INTEGER NOT NULL, failing INTEGER NOT NULL,
  failures INTEGER NOT NULL, delivered INTEGER NOT NULL, error TEXT NOT NULL) STRICT;

-- What a receiver would not have, however often it was offered.
CREATE TABLE hook_refused(
  hook INTEGER NOT NULL, event INTEGER NOT NULL, at INTEGER NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY(hook, event)) STRICT, WITHOUT ROWID;

-- A token may be bound to one relying party, whose feed it opens.
ALTER TABLE token ADD COLUMN party INTEGER NOT NULL DEFAULT 0;
CREATE INDEX token_party ON token(party) WHERE party > 0;

-- What each relying party that follows a feed should hold, and what it said it applied. sequence is
-- the newest offer; behind is when the first offer was made that it has not applied, 0 if none;
-- within is how long a carried pack may take to be confirmed, in seconds, 0 for one that asks itself.
CREATE TABLE feed(
  party INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, sequence INTEGER NOT NULL,
  contents BLOB NOT NULL, behind INTEGER NOT NULL, within INTEGER NOT NULL,
  applied INTEGER NOT NULL, said INTEGER NOT NULL, heard INTEGER NOT NULL) STRICT;

-- The manifests that were offered: the newest ones, and the one that was applied.
CREATE TABLE feed_offer(
  party INTEGER NOT NULL, sequence INTEGER NOT NULL, made INTEGER NOT NULL, hash BLOB NOT NULL,
  way INTEGER NOT NULL, anchors TEXT NOT NULL, note TEXT NOT NULL,
  PRIMARY KEY(party, sequence)) STRICT, WITHOUT ROWID;

-- Trust anchors that some relying party was observed to hold, or that are registered as legacy; the
-- last is a document, empty for the others.
CREATE TABLE anchor(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, na INTEGER NOT NULL, first INTEGER NOT NULL,
  fingerprint BLOB NOT NULL, certificate BLOB NOT NULL, subject TEXT NOT NULL,
  legacy TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX anchor_fingerprint ON anchor(tenant, fingerprint);

-- Which relying party holds which, as it was observed. gone is set when it was seen no more.
CREATE TABLE held_anchor(
  party INTEGER NOT NULL, anchor INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  gone INTEGER NOT NULL, PRIMARY KEY(party, anchor)) STRICT, WITHOUT ROWID;
CREATE INDEX held_anchor_anchor ON held_anchor(anchor, party);

-- The trust store of a relying party: when it was last reported, and how many anchors it may hold.
CREATE TABLE trust_store(
  party INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, reported INTEGER NOT NULL,
  anchors_max INTEGER NOT NULL) STRICT;

-- Anchors taken out of what one relying party is meant to hold. undone is set when that was taken back.
CREATE TABLE pruned_anchor(
  party INTEGER NOT NULL, anchor INTEGER NOT NULL, at INTEGER NOT NULL, undone INTEGER NOT NULL,
  proof TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY(party, anchor)) STRICT, WITHOUT ROWID;

-- When an issuer was last tried anywhere.
CREATE INDEX enforcement_issuer ON enforcement(issuer, at);

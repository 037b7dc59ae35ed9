-- Serials and keys look random, so an index that is kept with every insertion dirties a page of its
-- own for each certificate. These two are kept behind: the newest entries are in memory, made again
-- from the rows after `spilled` when the store is opened, and written here many at a time.

DROP INDEX cert_serial;
DROP INDEX cert_key;

CREATE TABLE serial_lookup(
  serial_h INTEGER NOT NULL, cert INTEGER NOT NULL, PRIMARY KEY(serial_h, cert)) STRICT, WITHOUT ROWID;
CREATE TABLE key_lookup(
  key_h INTEGER NOT NULL, cert INTEGER NOT NULL, PRIMARY KEY(key_h, cert)) STRICT, WITHOUT ROWID;

-- One row: every certificate and reservation up to this number is in the tables above.
CREATE TABLE spilled(one INTEGER PRIMARY KEY, cert INTEGER NOT NULL) STRICT;

INSERT INTO serial_lookup SELECT serial_h, no FROM cert ORDER BY serial_h, no;
INSERT INTO key_lookup SELECT key_h, no FROM cert ORDER BY key_h, no;
INSERT INTO spilled SELECT 1, min(
  (SELECT coalesce(max(no), 0) FROM cert),
  (SELECT coalesce(min(no) - 1, 9223372036854775807) FROM reservation));

-- Times are Unix seconds; 0 where a time may be absent. Codes are those of the domain's enums.
-- A number 0 in a reference column means "none". Every row carries its tenant.

CREATE TABLE schema_version(version INTEGER NOT NULL) STRICT;

-- Versions of small tables that processes keep in memory.
CREATE TABLE version(name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO version VALUES ('issuer', 1), ('manufacturer', 1), ('policy', 1);

-- What surrounds devices -----------------------------------------------------------------------

CREATE TABLE owner(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, contact TEXT NOT NULL,
  salt BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX owner_name ON owner(tenant, name);

CREATE TABLE site(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, parent INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX site_name ON site(tenant, name);
CREATE INDEX site_parent ON site(parent);

CREATE TABLE class(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
  document TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX class_name ON class(tenant, name);

CREATE TABLE service(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, address TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX service_name ON service(tenant, name);

CREATE TABLE manufacturer(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, roots TEXT NOT NULL,
  chain_time INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX manufacturer_name ON manufacturer(tenant, name);

-- Issuers and policy ---------------------------------------------------------------------------

CREATE TABLE issuer(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL,
  certificate BLOB NOT NULL, chain TEXT NOT NULL, key TEXT NOT NULL, algorithm TEXT NOT NULL,
  shards INTEGER NOT NULL, created INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX issuer_name ON issuer(tenant, name);
CREATE TABLE issuer_url(
  issuer INTEGER NOT NULL, position INTEGER NOT NULL, url TEXT NOT NULL,
  PRIMARY KEY(issuer, position)) STRICT, WITHOUT ROWID;

-- One revocation set; its epoch grows with every change of it.
CREATE TABLE shard(
  issuer INTEGER NOT NULL, shard INTEGER NOT NULL, epoch INTEGER NOT NULL,
  published INTEGER NOT NULL, published_at INTEGER NOT NULL,
  PRIMARY KEY(issuer, shard)) STRICT, WITHOUT ROWID;

CREATE TABLE policy(
  tenant INTEGER NOT NULL, version INTEGER NOT NULL, hash BLOB NOT NULL, document TEXT NOT NULL,
  applied INTEGER NOT NULL, actor TEXT NOT NULL, PRIMARY KEY(tenant, version)) STRICT, WITHOUT ROWID;

-- Devices --------------------------------------------------------------------------------------

-- head, last_cert and last_event begin two chains (cert.prev, event.prev): a device's certificates
-- and events are found through them, so that an issuance need not write two more random index pages.
CREATE TABLE device(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, version INTEGER NOT NULL,
  standing INTEGER NOT NULL, head INTEGER NOT NULL, last_cert INTEGER NOT NULL,
  last_event INTEGER NOT NULL, forgiven INTEGER NOT NULL, class INTEGER NOT NULL,
  site INTEGER NOT NULL, owner INTEGER NOT NULL, criticality INTEGER NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, id TEXT NOT NULL, manufacturer TEXT NOT NULL,
  model TEXT NOT NULL, serial TEXT NOT NULL, services TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX device_id ON device(tenant, id);
CREATE INDEX device_serial ON device(tenant, serial);
CREATE INDEX device_model ON device(tenant, model);
CREATE INDEX device_site ON device(tenant, site);
CREATE INDEX device_class ON device(tenant, class);
CREATE INDEX device_owner ON device(tenant, owner);
CREATE INDEX device_standing ON device(tenant, standing);

CREATE TABLE device_service(
  service INTEGER NOT NULL, device INTEGER NOT NULL, PRIMARY KEY(service, device)) STRICT, WITHOUT ROWID;

-- Where a device was, whose and of which class, at each time.
CREATE TABLE device_assign(
  device INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, site INTEGER NOT NULL,
  owner INTEGER NOT NULL, class INTEGER NOT NULL, PRIMARY KEY(device, since)) STRICT, WITHOUT ROWID;
CREATE INDEX device_assign_site ON device_assign(site, until, since);

CREATE TABLE device_anchor(
  tenant INTEGER NOT NULL, manufacturer TEXT NOT NULL, serial TEXT NOT NULL,
  device INTEGER NOT NULL, PRIMARY KEY(tenant, manufacturer, serial)) STRICT, WITHOUT ROWID;

-- One per device; a new one replaces the former.
CREATE TABLE secret(
  no INTEGER PRIMARY KEY, hash BLOB NOT NULL, salt BLOB NOT NULL, created INTEGER NOT NULL,
  expires INTEGER NOT NULL, bound_to BLOB, spent INTEGER NOT NULL, failures INTEGER NOT NULL,
  locked_until INTEGER NOT NULL) STRICT;

-- Certificates ---------------------------------------------------------------------------------

-- Between "these bytes may be signed" and "this certificate is released or given up".
CREATE TABLE reservation(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, at INTEGER NOT NULL, event INTEGER NOT NULL,
  device INTEGER NOT NULL, issuer INTEGER NOT NULL, shard INTEGER NOT NULL, nb INTEGER NOT NULL,
  na INTEGER NOT NULL, serial BLOB NOT NULL, key BLOB NOT NULL, profile TEXT NOT NULL,
  tbs BLOB NOT NULL) STRICT;

-- Expiry is a fact about now and is never stored. serial_h and key_h are eight bytes that stand for
-- the whole in an index; the row is compared in full.
CREATE TABLE cert(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, device INTEGER NOT NULL, issuer INTEGER NOT NULL,
  status INTEGER NOT NULL, nb INTEGER NOT NULL, na INTEGER NOT NULL, issued INTEGER NOT NULL,
  replaced INTEGER NOT NULL, rev_at INTEGER NOT NULL, reason INTEGER NOT NULL,
  invalidity INTEGER NOT NULL, shard INTEGER NOT NULL, class INTEGER NOT NULL,
  predecessor INTEGER NOT NULL, prev INTEGER NOT NULL, first_used INTEGER NOT NULL,
  standstill INTEGER NOT NULL, reserved_event INTEGER NOT NULL, serial_h INTEGER NOT NULL,
  key_h INTEGER NOT NULL, serial BLOB NOT NULL, predecessor_serial BLOB, key BLOB NOT NULL,
  replay BLOB NOT NULL, profile TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX cert_serial ON cert(serial_h);
CREATE INDEX cert_key ON cert(key_h);
-- In force and not replaced, by end: what an operator must look after.
CREATE INDEX cert_ending ON cert(class, na) WHERE status = 3;
-- The source of every revocation list.
-- rev_at is set while a certificate is revoked, held or voided, and only then.
CREATE INDEX cert_listed ON cert(issuer, shard, na, rev_at, reason, invalidity, serial)
  WHERE rev_at > 0;
CREATE INDEX cert_revoked ON cert(rev_at, no, na, status) WHERE rev_at > 0;
-- For counts at a time within a day.
CREATE INDEX cert_issued ON cert(issued);
CREATE INDEX cert_end ON cert(na);

CREATE TABLE cert_der(no INTEGER PRIMARY KEY, der BLOB NOT NULL) STRICT;

CREATE TABLE cert_hold(
  cert INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, na INTEGER NOT NULL,
  tenant INTEGER NOT NULL, PRIMARY KEY(cert, since)) STRICT, WITHOUT ROWID;
CREATE INDEX cert_hold_time ON cert_hold(tenant, until, since, na);

-- Where and by whom a certificate was seen in use.
CREATE TABLE sighting(
  cert INTEGER NOT NULL, service TEXT NOT NULL, first INTEGER NOT NULL,
  PRIMARY KEY(cert, service)) STRICT, WITHOUT ROWID;

CREATE TABLE blocked_key(key BLOB PRIMARY KEY, why TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- What was known when a certificate was granted; may be erased, the record holds only its hash.
CREATE TABLE fact(cert INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;

-- People and what they decide ------------------------------------------------------------------

CREATE TABLE ask(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, state INTEGER NOT NULL, replay BLOB NOT NULL,
  key BLOB NOT NULL, identity TEXT NOT NULL, device INTEGER NOT NULL, operation INTEGER NOT NULL,
  reason TEXT NOT NULL, why TEXT NOT NULL, evidence TEXT NOT NULL, via TEXT NOT NULL,
  csr BLOB NOT NULL, opened INTEGER NOT NULL, decided INTEGER NOT NULL,
  decided_by TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX ask_replay ON ask(replay);
CREATE INDEX ask_state ON ask(tenant, state);

CREATE TABLE incident(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, kind INTEGER NOT NULL, state INTEGER NOT NULL,
  device INTEGER NOT NULL, serials TEXT NOT NULL, summary TEXT NOT NULL, opened INTEGER NOT NULL,
  resolved INTEGER NOT NULL, outcome TEXT NOT NULL) STRICT;
CREATE INDEX incident_state ON incident(tenant, state);
CREATE INDEX incident_device ON incident(device);

CREATE TABLE token(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL,
  role INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,
  revoked INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX token_hash ON token(hash);

CREATE TABLE idempotency(
  actor TEXT NOT NULL, key TEXT NOT NULL, request BLOB NOT NULL, status INTEGER NOT NULL,
  answer BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(actor, key)) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency(at);

CREATE TABLE import(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, id TEXT NOT NULL, state INTEGER NOT NULL,
  actor TEXT NOT NULL, missing TEXT NOT NULL, rows INTEGER NOT NULL, applied INTEGER NOT NULL,
  added INTEGER NOT NULL, changed INTEGER NOT NULL, unchanged INTEGER NOT NULL,
  created INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX import_id ON import(tenant, id);
CREATE TABLE import_row(
  import INTEGER NOT NULL, row INTEGER NOT NULL, document TEXT NOT NULL,
  PRIMARY KEY(import, row)) STRICT, WITHOUT ROWID;

-- The record -----------------------------------------------------------------------------------

CREATE TABLE event(
  seq INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, at INTEGER NOT NULL, kind INTEGER NOT NULL,
  device INTEGER NOT NULL, cert INTEGER NOT NULL, prev INTEGER NOT NULL, operation BLOB NOT NULL,
  leaf_hash BLOB NOT NULL, leaf BLOB NOT NULL) STRICT;

-- One row: what is sealed. Changed only by compare-and-swap on size.
CREATE TABLE log_state(
  one INTEGER PRIMARY KEY, origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
  checkpoint BLOB NOT NULL, at INTEGER NOT NULL) STRICT;

-- Counters, kept in the same commit as what they count ------------------------------------------

-- Devices by one of their properties (1 site, 2 class, 3 owner) and standing.
CREATE TABLE device_count(
  tenant INTEGER NOT NULL, property INTEGER NOT NULL, value INTEGER NOT NULL,
  standing INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(tenant, property, value, standing)) STRICT, WITHOUT ROWID;
CREATE TABLE cert_count(
  tenant INTEGER NOT NULL, issuer INTEGER NOT NULL, status INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(tenant, issuer, status)) STRICT, WITHOUT ROWID;
-- By day since 1970: issued on it; ending on it, unless revoked before; of these the ones in force
-- and not replaced; revoked on it while valid.
CREATE TABLE cert_day(
  tenant INTEGER NOT NULL, day INTEGER NOT NULL, class INTEGER NOT NULL, issued INTEGER NOT NULL,
  ending INTEGER NOT NULL, current INTEGER NOT NULL, revoked INTEGER NOT NULL,
  PRIMARY KEY(tenant, day, class)) STRICT, WITHOUT ROWID;

-- May be emptied at any time: whoever held a session logs in again --------------------------------

CREATE TABLE session(
  hash BLOB PRIMARY KEY, token INTEGER NOT NULL, csrf TEXT NOT NULL, expires INTEGER NOT NULL)
  STRICT, WITHOUT ROWID;

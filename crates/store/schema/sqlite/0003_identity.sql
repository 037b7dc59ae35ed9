-- The identities for life that we gave: a serial number has one, a device has one, a key is in one.
-- repair is the time at which an operator let the device have another, until it is given.
CREATE TABLE identity(
  tenant INTEGER NOT NULL, serial TEXT NOT NULL, device INTEGER NOT NULL, cert INTEGER NOT NULL,
  repair INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY(tenant, serial)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX identity_device ON identity(device);
CREATE UNIQUE INDEX identity_key ON identity(key);

-- Whether the same incident is open is asked before each is opened, and how many of a kind are open.
CREATE INDEX incident_same ON incident(tenant, state, kind, device, serials);

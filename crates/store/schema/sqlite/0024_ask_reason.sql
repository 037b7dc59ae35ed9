-- How many asks wait for one reason is asked before each is held.
CREATE INDEX ask_reason ON ask(tenant, state, reason);

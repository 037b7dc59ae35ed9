-- How many asks wait for one reason is asked before each is held.
CREATE INDEX ask_reason ON ask(tenant, state, reason);
-- And what a device asked for when it is retired.
CREATE INDEX ask_device ON ask(device, state) WHERE device > 0;

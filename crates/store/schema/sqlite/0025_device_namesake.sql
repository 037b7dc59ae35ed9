-- DNS does not tell capital letters from small ones: who else would bear a device's name there?
CREATE INDEX device_folded ON device(tenant, lower(id));

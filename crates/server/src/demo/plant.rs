//! The plant of the demo: who owns what, where it stands, what it talks to.

use serde_json::{Value, json};

/// The service all devices report to.
pub(super) const SERVICE: &str = "telemetry";
/// The device id of that service's own identity.
pub(super) const SERVICE_DEVICE: &str = "telemetry-1";
/// The device id of the broker's own identity.
pub(super) const BROKER_DEVICE: &str = "broker-1";
/// The class whose keys are replaced.
pub(super) const RENEWED: &str = "sensor";

const OWNERS: [(&str, &str); 4] = [
    ("Operations North", "north@acme.example"),
    ("Operations South", "south@acme.example"),
    ("Logistics", "logistics@acme.example"),
    ("Platform", "platform@acme.example"),
];

const SITES: [(&str, Option<&str>); 3] = [
    ("Plant North", None),
    ("Plant South", None),
    ("Harbour", Some("Plant South")),
];

const CLASSES: [(&str, &str, &str); 3] = [
    ("sensor", "medium", "internal"),
    ("controller", "high", "isolated"),
    ("gateway", "high", "internet"),
];

/// What is registered before the devices: an API path and a body each.
pub(super) fn furniture() -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    for (name, contact) in OWNERS {
        all.push(("/owners", json!({ "name": name, "contact": contact })));
    }
    for (name, parent) in SITES {
        all.push(("/sites", json!({ "name": name, "parent": parent })));
    }
    for (name, impact, exposure) in CLASSES {
        let class = json!({
            "name": name,
            "profile": "device",
            "impact": impact,
            "exposure": exposure,
            "connectivity": "always",
            "renewability": "autonomous",
        });
        all.push(("/classes", class));
    }
    all.push((
        "/services",
        json!({ "name": SERVICE, "address": "mTLS on this machine" }),
    ));
    all
}

/// How many owners, sites and classes that makes.
pub(super) fn counts() -> (usize, usize, usize) {
    (OWNERS.len(), SITES.len(), CLASSES.len())
}

/// A device of the plant.
#[derive(Clone)]
pub(super) struct Unit {
    pub(super) id: String,
    pub(super) class: &'static str,
    number: usize,
}

/// So many devices, spread over classes, sites and owners.
pub(super) fn units(count: usize) -> Vec<Unit> {
    (1..=count)
        .map(|number| {
            // Of ten devices one is a gateway, three are controllers, six are sensors.
            let class = match number % 10 {
                0 => "gateway",
                1 | 4 | 7 => "controller",
                _ => "sensor",
            };
            Unit {
                id: format!("{class}-{number:04}"),
                class,
                number,
            }
        })
        .collect()
}

impl Unit {
    /// As it is registered.
    pub(super) fn spec(&self) -> Value {
        let pick = |many: usize| self.number % many;
        let (maker, model) = match self.class {
            "sensor" => ("Therma", "TX-200"),
            "controller" => ("Regula", "R7"),
            _ => ("Portico", "Edge 40"),
        };
        let site = SITES.get(pick(SITES.len())).map(|(name, _)| *name);
        let owner = OWNERS.get(pick(OWNERS.len() - 1)).map(|(name, _)| *name);
        json!({
            "id": self.id,
            "manufacturer": maker,
            "model": model,
            "serial": format!("{:06}", 100_000 + self.number),
            "class": self.class,
            "site": site,
            "owner": owner,
            "services": [SERVICE],
            "criticality": if self.class == "sensor" { "medium" } else { "high" },
        })
    }
}

/// The service and the broker have identities of their own, registered like any device.
pub(super) fn servers() -> [Value; 2] {
    [
        (SERVICE_DEVICE, "telemetry service", "1"),
        (BROKER_DEVICE, "MQTT broker", "2"),
    ]
    .map(|(id, model, serial)| {
        json!({
            "id": id,
            "manufacturer": "Acme",
            "model": model,
            "serial": serial,
            "class": "gateway",
            "site": "Plant North",
            "owner": "Platform",
            "services": [SERVICE],
            "criticality": "high",
        })
    })
}

#![doc = "Tenure."]

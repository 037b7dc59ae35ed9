//! The operators' API, as anyone's program would call it.

use serde_json::Value;
use tenure_field::http::Response;

use crate::http::Caller;
use crate::{House, text};

/// An operator's program with a token.
pub struct Api {
    caller: Caller,
    authorization: String,
    at: String,
}

impl Api {
    /// With the first admin token.
    pub fn of(house: &House) -> Api {
        let token = std::fs::read_to_string(house.data().join("admin.token")).unwrap();
        Api::with(house, token.trim())
    }

    /// With this token.
    pub fn with(house: &House, token: &str) -> Api {
        Api {
            caller: Caller::new(&house.root()),
            authorization: format!("Bearer {token}"),
            at: format!("https://127.0.0.1:{}/api/v1", house.ports().operator),
        }
    }

    /// Any call; `body` may be empty.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let mut all = vec![("authorization", self.authorization.as_str())];
        all.extend(headers);
        self.caller
            .send(method, &format!("{}{path}", self.at), &all, body)
    }

    /// A call with JSON: the status and what was answered.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let headers = [("content-type", "application/json")];
        let answer = self.send(method, path, &headers, body.as_bytes());
        let value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        (answer.status.as_u16(), value)
    }

    /// GET, which must succeed.
    pub fn get(&self, path: &str) -> Value {
        read(path, &self.send("GET", path, &[], &[]))
    }

    /// POST, which must succeed.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let headers = [("content-type", "application/json")];
        let body = body.to_string();
        read(path, &self.send("POST", path, &headers, body.as_bytes()))
    }

    /// GET of the operator listener outside of the API, such as `/metrics`, which must succeed.
    pub fn text(&self, path: &str) -> String {
        let at = self.at.strip_suffix("/api/v1").unwrap_or(&self.at);
        let headers = [("authorization", self.authorization.as_str())];
        let answer = self
            .caller
            .send("GET", &format!("{at}{path}"), &headers, &[]);
        assert!(answer.status.is_success(), "{path}: {}", answer.status);
        text(&answer.body)
    }

    /// Everything in a list, page by page.
    pub fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        loop {
            let mut page = self.get(&next);
            items.append(page["items"].as_array_mut().unwrap());
            let Some(cursor) = page["next"].as_str() else {
                return items;
            };
            let joint = if path.contains('?') { '&' } else { '?' };
            next = format!("{path}{joint}cursor={cursor}");
        }
    }
}

fn read(path: &str, answer: &Response) -> Value {
    assert!(
        answer.status.is_success(),
        "{path}: {} {}",
        answer.status,
        text(&answer.body)
    );
    serde_json::from_slice(&answer.body).unwrap()
}

//! Lists: `{items, next}`, asked for with `?limit` and `?cursor`. A cursor names the last item seen,
//! so a list that grows meanwhile neither repeats nor skips what was there.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::IntoParams;

use crate::limits::{PAGE_DEFAULT, PAGE_MAX};
use crate::problem::Problem;

/// One page of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; none after the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` items in the order of their places: a full one has a next, which
    /// begins after the last item's.
    pub fn up_to<P: ToString>(limit: u32, items: Vec<T>, place: impl Fn(&T) -> P) -> Page<T> {
        let full = items.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let next = items
            .last()
            .filter(|_| full)
            .map(|last| place(last).to_string());
        Page { items, next }
    }

    /// The page with each item turned into what is shown of it.
    pub fn map<U>(self, show: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(show).collect(),
            next: self.next,
        }
    }
}

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Most items on the page, 1 to 1000; 100 if not given.
    #[serde(deserialize_with = "within")]
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

fn within<'de, D: Deserializer<'de>>(number: D) -> Result<Option<u32>, D::Error> {
    let limit = Option::deserialize(number)?;
    match limit {
        Some(number) if !(1..=PAGE_MAX).contains(&number) => Err(D::Error::custom(format!(
            "limit: use a number from 1 to {PAGE_MAX}"
        ))),
        other => Ok(other),
    }
}

impl Paging {
    /// The number of items wanted.
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
    }

    /// The same, for counting.
    pub fn items(&self) -> usize {
        usize::try_from(self.limit()).unwrap_or(usize::MAX)
    }

    /// The cursor as the number that it is in lists ordered by a number.
    ///
    /// # Errors
    /// It is none.
    pub fn number(&self) -> Result<Option<i64>, Problem> {
        let parse = |cursor: &String| cursor.parse().map_err(|_| bad_cursor());
        self.cursor.as_ref().map(parse).transpose()
    }

    /// A page of a list that is short enough to be read whole. `name` is unique and the order.
    pub fn of<T>(&self, mut all: Vec<T>, name: impl Fn(&T) -> String) -> Page<T> {
        all.sort_by_key(&name);
        if let Some(cursor) = &self.cursor {
            all.retain(|item| name(item) > *cursor);
        }
        let limit = self.items();
        let more = all.len() > limit;
        all.truncate(limit);
        let next = more.then(|| all.last().map(&name)).flatten();
        Page { items: all, next }
    }
}

/// 400: a cursor that no list of ours gave out.
pub fn bad_cursor() -> Problem {
    Problem::bad_request("cursor: this is not the `next` of a page of this list; begin without it")
}

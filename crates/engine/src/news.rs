//! What is newest of what is published and offered, for whoever is told of it instead of asking.
//!
//! This is state and no record: a list that is out makes the one before it worthless, so whoever missed
//! that one has missed nothing. After a start every list is made and every feed offered anew, so that
//! nothing is forgotten here that would still be worth telling.

use std::collections::BTreeMap;

use tenure_domain::Slug;
use tenure_x509::Time;
use tokio::sync::watch;

use crate::Engine;
use crate::duty::publish::{List, Published, PublishedFilter};

/// What there is something new of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A rendering of an issuer's revocation set.
    Publication {
        /// Whose.
        issuer: Slug,
        /// Which: the number of a shard, `full` for the list of everything, or `filter`.
        rendering: String,
    },
    /// The feed of a relying party.
    Feed {
        /// Whose.
        party: Slug,
    },
}

/// The newest of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// Its number, which only rises.
    pub number: i64,
    /// The epoch of what it renders; a feed has none.
    pub epoch: Option<i64>,
    /// Since when it is out.
    pub at: Time,
}

/// The newest of every topic.
pub type Board = BTreeMap<Topic, Newest>;

/// Where it is written up.
pub(crate) struct News {
    board: watch::Sender<Board>,
}

impl Default for News {
    fn default() -> News {
        News {
            board: watch::Sender::new(Board::new()),
        }
    }
}

impl News {
    fn tell(&self, topic: Topic, newest: Newest) {
        self.board.send_if_modified(|board| {
            let is_news = board
                .get(&topic)
                .is_none_or(|known| known.number < newest.number);
            if is_news {
                board.insert(topic, newest);
            }
            is_news
        });
    }

    /// A list is out.
    pub(crate) fn list(&self, issuer: &Slug, list: List, published: &Published) {
        let rendering = match list {
            List::Shard(shard) => shard.to_string(),
            List::Full => "full".to_owned(),
        };
        let newest = Newest {
            number: i64::try_from(published.number).unwrap_or(i64::MAX),
            epoch: published.epoch,
            at: published.this_update,
        };
        let issuer = issuer.clone();
        self.tell(Topic::Publication { issuer, rendering }, newest);
    }

    /// A filter is out, or a delta to it.
    pub(crate) fn filter(&self, issuer: &Slug, published: &PublishedFilter) {
        let newest = Newest {
            number: i64::try_from(published.sequence()).unwrap_or(i64::MAX),
            epoch: i64::try_from(published.epoch()).ok(),
            at: published.created(),
        };
        let (issuer, rendering) = (issuer.clone(), "filter".to_owned());
        self.tell(Topic::Publication { issuer, rendering }, newest);
    }

    /// A relying party is offered something.
    pub(crate) fn feed(&self, party: &Slug, number: i64, at: Time) {
        let newest = Newest {
            number,
            epoch: None,
            at,
        };
        let party = party.clone();
        self.tell(Topic::Feed { party }, newest);
    }
}

impl Engine {
    /// The newest of what is published and offered, as it changes. Who looks at it compares the
    /// numbers with those it knows: several changes may be seen as one.
    pub fn news(&self) -> watch::Receiver<Board> {
        self.inside.news.board.subscribe()
    }

    pub(crate) fn newsboard(&self) -> &News {
        &self.inside.news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_newer_is_news() {
        let news = News::default();
        let mut board = news.board.subscribe();
        let (party, at) = ("broker-3".parse::<Slug>().unwrap(), Time::from_unix(1));
        news.feed(&party, 7, at);
        assert!(board.has_changed().unwrap());
        let topic = Topic::Feed {
            party: party.clone(),
        };
        assert_eq!(board.borrow_and_update()[&topic].number, 7);
        for number in [7, 6] {
            news.feed(&party, number, at);
            assert!(!board.has_changed().unwrap(), "{number}");
        }
        news.feed(&party, 8, at);
        assert_eq!(board.borrow_and_update()[&topic].number, 8);
    }
}

//! What is told of publications: which list or filter is out, and which feed has a new number. Nothing
//! of it names a device, or says more than anyone may fetch who is told of it.

use std::collections::HashMap;

use serde::Serialize;
use tenure_domain::Slug;
use tenure_domain::ids::BadName;
use tenure_domain::trust_change::TrustChangeKind;
use tenure_engine::{Board, Newest, Topic};

/// What a follower is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Trust changes.
    Trust,
    /// What is published and offered.
    Publications,
    /// Both.
    All,
}

impl About {
    /// Whether trust changes are told.
    pub fn tells_trust(self) -> bool {
        matches!(self, About::Trust | About::All)
    }

    /// Whether publications are told.
    pub fn tells_publications(self) -> bool {
        matches!(self, About::Publications | About::All)
    }
}

impl std::str::FromStr for About {
    type Err = BadName;

    fn from_str(word: &str) -> Result<About, Self::Err> {
        match word {
            "trust" => Ok(About::Trust),
            "publications" => Ok(About::Publications),
            "all" => Ok(About::All),
            _ => Err(BadName {
                what: "about",
                rule: "trust, publications or all",
                given: word.chars().take(40).collect(),
            }),
        }
    }
}

/// Whose feeds a follower hears of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feeds {
    /// Everybody's: who reads the fleet.
    Everybodys,
    /// One relying party's own.
    Own(Slug),
    /// Nobody's.
    Nobodys,
}

impl Feeds {
    fn holds(&self, party: &Slug) -> bool {
        match self {
            Feeds::Everybodys => true,
            Feeds::Own(own) => own == party,
            Feeds::Nobodys => false,
        }
    }
}

/// A publication as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NewsMessage {
    /// When it was made (RFC 3339).
    pub at: String,
    /// The epoch of the revocation set that is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// Whose list or filter is out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Which relying party's feed has something new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// Which rendering is out: the number of a shard's list, full for the list of everything, or
    /// filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rendering: Option<String>,
    /// The number of the list or filter, or of the feed's newest manifest.
    pub sequence: i64,
    /// publication or feed.
    pub what: String,
}

impl NewsMessage {
    /// What is told of the newest of a topic.
    pub fn of(topic: &Topic, newest: &Newest) -> NewsMessage {
        let (issuer, rendering, party) = match topic {
            Topic::Publication { issuer, rendering } => {
                (Some(issuer.to_string()), Some(rendering.clone()), None)
            }
            Topic::Feed { party } => (None, None, Some(party.to_string())),
        };
        NewsMessage {
            at: newest.at.to_string(),
            epoch: newest.epoch,
            issuer,
            party,
            rendering,
            sequence: newest.number,
            what: kind(topic).to_string(),
        }
    }
}

/// The word for what is new.
pub fn kind(topic: &Topic) -> TrustChangeKind {
    match topic {
        Topic::Publication { .. } => TrustChangeKind::Publication,
        Topic::Feed { .. } => TrustChangeKind::Feed,
    }
}

/// What somebody was told already.
#[derive(Debug, Default)]
pub struct Heard {
    numbers: HashMap<Topic, i64>,
}

impl Heard {
    /// Somebody who knows everything that is out now, but for their own feed: that they are told when
    /// they come, so that they miss nothing while they are away.
    pub fn all_but_own(board: &Board, feeds: &Feeds) -> Heard {
        let is_own = |topic: &Topic| match (topic, feeds) {
            (Topic::Feed { party }, Feeds::Own(own)) => party == own,
            (Topic::Feed { .. } | Topic::Publication { .. }, _) => false,
        };
        let known = board.iter().filter(|(topic, _)| !is_own(topic));
        Heard {
            numbers: known
                .map(|(topic, newest)| (topic.clone(), newest.number))
                .collect(),
        }
    }

    /// What is new to them on the board.
    pub fn news(&self, board: &Board, feeds: &Feeds) -> Vec<(Topic, Newest)> {
        let is_new = |topic: &Topic, newest: &Newest| {
            let may = match topic {
                Topic::Publication { .. } => true,
                Topic::Feed { party } => feeds.holds(party),
            };
            let known = self.numbers.get(topic);
            may && known.is_none_or(|number| *number < newest.number)
        };
        board
            .iter()
            .filter(|(topic, newest)| is_new(topic, newest))
            .map(|(topic, newest)| (topic.clone(), *newest))
            .collect()
    }

    /// They were told.
    pub fn told(&mut self, topic: Topic, newest: &Newest) {
        self.numbers.insert(topic, newest.number);
    }
}

#[cfg(test)]
mod tests {
    use tenure_x509::Time;

    use super::*;

    fn board() -> Board {
        let newest = |number, epoch| Newest {
            number,
            epoch,
            at: Time::from_unix(1_790_000_000),
        };
        let issuer: Slug = "issuing-1".parse().unwrap();
        let feed = |name: &str| Topic::Feed {
            party: name.parse().unwrap(),
        };
        let list = Topic::Publication {
            issuer,
            rendering: "3".to_owned(),
        };
        Board::from([
            (list, newest(1_790_000_000, Some(417))),
            (feed("broker-3"), newest(7, None)),
            (feed("broker-4"), newest(9, None)),
        ])
    }

    /// G6, P3: a relying party hears of its own feed and of what anyone may fetch.
    #[test]
    fn g6_nobody_hears_of_anothers_feed() {
        let own = Feeds::Own("broker-3".parse().unwrap());
        let heard = Heard::default();
        for (feeds, expected) in [(&own, 2), (&Feeds::Nobodys, 1), (&Feeds::Everybodys, 3)] {
            assert_eq!(heard.news(&board(), feeds).len(), expected, "{feeds:?}");
        }
        let mut heard = Heard::all_but_own(&board(), &own);
        let news = heard.news(&board(), &own);
        let [(topic, newest)] = &news[..] else {
            panic!("{news:?}")
        };
        let said = serde_json::to_string(&NewsMessage::of(topic, newest)).unwrap();
        assert_eq!(
            said,
            r#"{"at":"2026-09-21T14:13:20Z","party":"broker-3","sequence":7,"what":"feed"}"#
        );
        heard.told(topic.clone(), newest);
        assert_eq!(heard.news(&board(), &own), []);
        assert_eq!(
            Heard::all_but_own(&board(), &Feeds::Everybodys).news(&board(), &Feeds::Everybodys),
            []
        );
    }
}

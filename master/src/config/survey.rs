//! What keys take, found out by asking their readers: each is given one value of every kind, and what it wants to know
//! of it is written down. So the schema knows what the reader does, and nothing has to be said twice; core.
//!
//! - A value is taken if the reader asked something of it that fits, or if it found nothing wrong with it.
//! - Every value is shown to a fresh copy of what is being read: keys that exclude each other do not meet.
//! - A reader that looks into a string by itself says which words it knows ([`Reading::offer`],
//!   [`Reading::suggest`]), else any string is taken.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use toml::de::DeTable;

use super::document::{Node, entries};
use super::reading::Reading;
use super::schema;
use super::source::SourceText;
use super::table::{Key, Places, Table};
use super::units::Bare;

/// What a reader wanted to know of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// True or false.
    Boolean,
    /// A number between these, or its digits in a string.
    Integer(i64, i64),
    /// A duration.
    Duration(Bare),
    /// The one above is between these.
    Between(Duration, Duration),
    /// And may be 0 besides.
    OrZero,
    /// A size between these.
    Size(u32, u32),
    /// A string.
    Text,
    /// One of these words.
    Choice(Vec<String>),
    /// One of these words, or what else is asked of it.
    Offer(Vec<String>),
    /// A string that may begin with one of these words, or be something else.
    Suggest(Vec<String>),
    /// A table whose keys may be any.
    Table,
    /// A table whose keys are these.
    Names(Vec<String>),
    /// A table with this schema.
    Keys(Value),
}

/// The values that readers are shown. The string is a number, so that every kind of string begins like it.
const SHOWN: &str = "
1 = true
2 = false
3 = 7
4 = 0o7
5 = '7'
6 = {}
7 = [true]
8 = [7]
9 = ['7']
10 = [{}]
";

/// What a reader says of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A truth.
    Boolean(bool),
    /// A number.
    Integer,
    /// A string.
    Text,
    /// A table without keys.
    Table,
    /// A list of one of those.
    List(Item),
}

/// What is in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A truth.
    Boolean,
    /// A number.
    Integer,
    /// A string.
    Text,
    /// A table.
    Table,
}

/// In the order of [`SHOWN`].
const KINDS: [Shown; 10] = [
    Shown::Boolean(true),
    Shown::Boolean(false),
    Shown::Integer,
    Shown::Integer,
    Shown::Text,
    Shown::Table,
    Shown::List(Item::Boolean),
    Shown::List(Item::Integer),
    Shown::List(Item::Text),
    Shown::List(Item::Table),
];

/// A survey on its way.
#[derive(Debug)]
pub struct Survey<'s> {
    values: Vec<(Shown, Node<'s>)>,
    /// What was asked of the value that is shown.
    pub asked: Vec<Asked>,
}

/// The values as a file.
#[derive(Debug)]
pub struct Values {
    source: Arc<SourceText>,
    table: DeTable<'static>,
}

impl Default for Values {
    fn default() -> Self {
        let source = Arc::new(SourceText::new("survey".into(), SHOWN.to_owned()));
        let (table, _) = DeTable::parse_recoverable(SHOWN);
        Self { source, table: table.into_inner() }
    }
}

impl Values {
    /// A survey that shows these.
    pub fn survey(&self) -> Survey<'_> {
        let entries = entries(&self.source, &self.table);
        let nodes = entries.into_iter().map(|entry| entry.node);
        Survey { values: KINDS.into_iter().zip(nodes).collect(), asked: Vec::new() }
    }
}

impl Reading<'_> {
    /// Says what a value is taken for, to who wants to know.
    pub fn asked(&mut self, asked: impl FnOnce() -> Asked) {
        if let Some(survey) = &mut self.survey {
            survey.asked.push(asked());
        }
    }

    /// Says which words a string may be, beside what else is asked of it.
    pub fn offer(&mut self, words: &[&str]) {
        self.asked(|| Asked::Offer(words.iter().map(|word| (*word).to_owned()).collect()));
    }

    /// Names some of the words that a string may begin with.
    pub fn suggest(&mut self, words: &[&str]) {
        self.asked(|| Asked::Suggest(words.iter().map(|word| (*word).to_owned()).collect()));
    }
}

impl<T: Clone> Table<T> {
    /// Asks every row, and says what the table is.
    pub(super) fn survey(&self, into: &T, place: Places, reading: &mut Reading<'_>) {
        let Some(survey) = &mut reading.survey else { return };
        let outside = std::mem::take(&mut survey.asked);
        let mut keys = Vec::new();
        for row in self.rows().filter(|row| row.places & place != 0) {
            let takes = row.takes(into, reading);
            keys.push((row.name, schema::key(row.doc, row.http, &takes)));
        }
        if let Some(survey) = &mut reading.survey {
            survey.asked = outside;
        }
        reading.asked(|| Asked::Keys(schema::table(keys)));
    }
}

impl<T: Clone> Key<T> {
    /// The values that it takes, each with what it asked of it.
    fn takes(&self, into: &T, reading: &mut Reading<'_>) -> Vec<(Shown, Vec<Asked>)> {
        let values = reading.survey.as_ref().map(|survey| survey.values.clone());
        let mut taken = Vec::new();
        for (shown, node) in values.unwrap_or_default() {
            let before = reading.diagnostics.len();
            (self.read)(&mut into.clone(), &node, reading);
            let found = reading.diagnostics.len() > before;
            reading.diagnostics.truncate(before);
            let asked = reading.survey.as_mut().map(|survey| std::mem::take(&mut survey.asked));
            let asked = asked.unwrap_or_default();
            if !found || asked.iter().any(|asked| asked.is_of(shown)) {
                taken.push((shown, asked));
            }
        }
        taken
    }
}

impl Asked {
    /// Whether this can be asked of it, or of what is in it.
    fn is_of(&self, shown: Shown) -> bool {
        match self {
            Self::Boolean => {
                matches!(shown, Shown::Boolean(_) | Shown::List(Item::Boolean))
            }
            Self::Integer(..) | Self::Duration(_) | Self::Between(..) | Self::Size(..) => matches!(
                shown,
                Shown::Integer | Shown::Text | Shown::List(Item::Integer | Item::Text)
            ),
            Self::Text | Self::Choice(_) => matches!(shown, Shown::Text | Shown::List(Item::Text)),
            Self::Table | Self::Names(_) | Self::Keys(_) => {
                matches!(shown, Shown::Table | Shown::List(Item::Table))
            }
            // Said beside something else.
            Self::OrZero | Self::Offer(_) | Self::Suggest(_) => false,
        }
    }
}

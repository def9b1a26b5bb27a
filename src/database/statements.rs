//! The named statements of a connection: PostgreSQL parses their texts once, and plans some of them once.
//!
//! `docs/decisions/unnamed-statements.md` has the measurements. A text is named at its second use, because the first may be
//! the only one, and because naming takes a round trip.

use std::{str::FromStr, time::Duration};

use tokio_postgres::{Error as PgError, Statement as Prepared, error::SqlState};

use crate::clock::FreezeProofInstant;

/// The texts that a connection remembers, at most so many of them named. The server keeps about 0.1 MB for each.
pub const MAX_TEXTS: usize = 16;

/// The age at which a statement that is planned once is planned again, in case the tables have grown since. PostgreSQL
/// itself plans again after `ANALYZE`.
pub const PLAN_MAX_AGE: Duration = Duration::from_mins(1);

/// `DATABASE_STATEMENTS`: when statements are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatementNames {
    /// On connections that show that they lead to one process of the server: not behind a pooler or a proxy.
    #[default]
    Auto,
    /// On every connection: the operator knows that a pooler gives each one a process of its own.
    Named,
    /// Never.
    Unnamed,
}

impl FromStr for StatementNames {
    type Err = ();

    fn from_str(names: &str) -> Result<Self, ()> {
        match names {
            "auto" => Ok(Self::Auto),
            "named" => Ok(Self::Named),
            "unnamed" => Ok(Self::Unnamed),
            _ => Err(()),
        }
    }
}

/// When PostgreSQL plans a named statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planning {
    /// Once, for any values.
    Once,
    /// With each execution, for its values.
    Always,
}

/// The settings for a plan that is right for any values.
///
/// `auto` would choose between one plan and many after five executions, by costs that are wrong on accounts of unusual size.
/// An unknown account is expected to have the average number of sessions; where that is small, sorting them looks as cheap
/// as reading them in the order of an index, and takes a second on an account of a million.
pub const PLAN_ONCE: &str = "SET plan_cache_mode = force_generic_plan; SET enable_sort = off";

const PLAN_ALWAYS: &str = "SET plan_cache_mode = force_custom_plan; RESET enable_sort";

impl Planning {
    fn settings(self) -> &'static str {
        match self {
            Self::Once => PLAN_ONCE,
            Self::Always => PLAN_ALWAYS,
        }
    }
}

/// How a text is sent.
pub struct Sending {
    /// The settings that are changed before it.
    pub settings: Option<&'static str>,
    /// Its named statement.
    pub named: Option<Prepared>,
    /// Whether a named statement is made of it first.
    pub prepare: bool,
}

impl Sending {
    /// As an unnamed statement.
    pub fn unnamed() -> Self {
        Self { settings: None, named: None, prepare: false }
    }

    pub fn is_named(&self) -> bool {
        self.prepare || self.named.is_some()
    }
}

/// A connection's texts. The statements end with the connection.
#[derive(Default)]
pub struct Statements {
    are_named: bool,
    /// The last used first.
    texts: Vec<Text>,
    /// The session's settings, if they were changed.
    planning: Option<Planning>,
}

struct Text {
    text: String,
    named: Option<(Prepared, FreezeProofInstant)>,
}

impl Statements {
    pub fn new(are_named: bool) -> Self {
        Self { are_named, ..Self::default() }
    }

    /// Decides how to send a text.
    pub fn send(&mut self, text: &str, planning: Planning) -> Sending {
        let mut sending = Sending::unnamed();
        if self.are_named {
            if let Some(index) = self.texts.iter().position(|known| known.text == text) {
                let known = &mut self.texts[..=index];
                known.rotate_right(1);
                let is_old = |at: &FreezeProofInstant| planning == Planning::Once && at.elapsed() > PLAN_MAX_AGE;
                known[0].named.take_if(|(_, prepared_at)| is_old(prepared_at));
                sending.named = known[0].named.as_ref().map(|(named, _)| named.clone());
                sending.prepare = sending.named.is_none();
            } else {
                self.texts.truncate(MAX_TEXTS - 1);
                self.texts.insert(0, Text { text: text.to_owned(), named: None });
            }
        }
        // The settings apply to unnamed statements too, and those are planned for their values.
        let planning = if sending.is_named() { planning } else { Planning::Always };
        if self.planning != Some(planning) && (sending.is_named() || self.planning.is_some()) {
            self.planning = Some(planning);
            sending.settings = Some(planning.settings());
        }
        sending
    }

    /// Keeps a named statement that was made of a text.
    pub fn keep(&mut self, text: &str, prepared: Prepared) {
        if let Some(known) = self.texts.iter_mut().find(|known| known.text == text) {
            known.named = Some((prepared, FreezeProofInstant::now()));
        }
    }

    /// Whether a named statement was rejected because it is not valid any more. It is then forgotten.
    pub fn is_invalidated(&mut self, error: &PgError) -> bool {
        let has_code = |code: &SqlState| error.code() == Some(code);
        // A pooler, or `DISCARD ALL`.
        let is_gone = has_code(&SqlState::INVALID_SQL_STATEMENT_NAME) || has_code(&SqlState::DUPLICATE_PSTATEMENT);
        // The types of its columns have changed.
        let is_changed = has_code(&SqlState::FEATURE_NOT_SUPPORTED);
        if is_gone || is_changed {
            self.forget(is_gone);
        }
        is_gone || is_changed
    }

    /// Stops naming statements on this connection.
    pub fn stop_naming(&mut self) {
        self.forget(true);
    }

    fn forget(&mut self, for_good: bool) {
        self.texts.clear();
        self.are_named &= !for_good;
    }
}

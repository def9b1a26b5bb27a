//! Accounts, sessions and messages of a seed, generated from their numbers so that every run makes the same.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "shares and distributions are floating point; numbers of rows are far from where it is inexact"
)]

use std::time::{Duration, SystemTime};

use fastrand::Rng;
use uuid::{Builder, Uuid};

use super::Volume;
use crate::keys::{self, Entry};

/// Age of the oldest sessions. Newer ones are more frequent.
const DAYS: f64 = 600.0;
/// Age below which sessions are active, which is about three in a hundred.
const ACTIVE_DAYS: f64 = 3.0;
const DAY: f64 = 86_400.0;

const QUESTIONS: [&str; 6] = [
    "Hello, is anybody there?",
    "How do I change the plan of my account?",
    "The export has been stuck at 80 % since this morning. Is something wrong on your side?",
    "Where do I find my invoices?",
    "Thanks, that helps!",
    "It works on my laptop but not on my phone: the page stays empty after I log in, and reloading changes nothing. I have \
     tried two browsers.",
];
const ANSWERS: [&str; 5] = [
    "Hi! Let me have a look.",
    "You find it under Settings, Billing.",
    "Could you send me the address of the page, please?",
    "We have found the cause and are rolling out a fix. It should be fine within the hour; I will write to you here.",
    "You are welcome!",
];

pub struct Account {
    pub id: Uuid,
    pub widgets: Vec<(Uuid, Option<String>)>,
    pub sessions: u64,
    number: u32,
}

pub struct Session {
    pub id: Uuid,
    pub widget: Uuid,
    pub visitor: String,
    /// Given by a third of the visitors.
    pub name: Option<String>,
    pub email: Option<String>,
    pub page: &'static str,
    pub status: &'static str,
    pub created_at: SystemTime,
    pub last_message_at: SystemTime,
    pub messages: Vec<Message>,
}

pub struct Message {
    pub id: Uuid,
    pub role: &'static str,
    pub content: &'static str,
    pub created_at: SystemTime,
}

fn uuid(rng: &mut Rng) -> Uuid {
    Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid()
}

impl Account {
    /// Makes the accounts with their shares of the sessions: the n-th has an n-th of the first one's.
    pub fn all(volume: Volume) -> Vec<Self> {
        let share = |number: u32| 1.0 / f64::from(number + 1);
        let shares: f64 = (0..volume.accounts).map(share).sum();
        let mut rest = volume.sessions;
        let mut accounts: Vec<Self> = (0..volume.accounts)
            .map(|number| {
                let sessions = ((share(number) / shares * volume.sessions as f64) as u64).min(rest);
                rest -= sessions;
                Self::new(number, sessions)
            })
            .collect();
        // The remainder of rounding down.
        accounts[0].sessions += rest;
        accounts
    }

    fn new(number: u32, sessions: u64) -> Self {
        let mut rng = Rng::with_seed(u64::from(number));
        let id = uuid(&mut rng);
        let widgets = (1..=rng.u32(1..=5)).map(|n| (uuid(&mut rng), (n != 4).then(|| format!("Widget {n}")))).collect();
        Self { id, widgets, sessions, number }
    }

    pub fn email(&self) -> String {
        format!("account{}@example.com", self.number + 1)
    }

    /// Returns the account's token, which is the same in every run and protects nothing.
    pub fn token(&self) -> String {
        format!("mgp_{}", &keys::hash(&format!("seeded account {}", self.number + 1))[..40])
    }

    pub fn key(&self) -> Entry {
        Entry::new(&self.token(), self.id.to_string(), self.email())
    }

    /// Generates the sessions up to `now`, with `messages` messages on average.
    pub fn sessions(&self, messages: u32, now: SystemTime) -> impl Iterator<Item = Session> {
        (0..self.sessions).map(move |number| self.session(number, messages, now))
    }

    fn session(&self, number: u64, average: u32, now: SystemTime) -> Session {
        let mut rng = Rng::with_seed((u64::from(self.number) << 40) + number + 1);
        let id = uuid(&mut rng);
        let age = DAYS * DAY * rng.f64().powf(1.5);
        let created_at = now - Duration::from_secs_f64(age);
        // Most sessions are short and a few are long: an exponential distribution.
        let count = (-f64::from(average) * (1.0 - rng.f64()).ln()).round() as u32;
        let mut at = created_at;
        let messages: Vec<Message> = (0..count)
            .map(|n| {
                at = (at + Duration::from_millis(rng.u64(5_000..240_000))).min(now);
                let visitor = n == 0 || rng.bool();
                let content = if visitor { rng.choice(QUESTIONS) } else { rng.choice(ANSWERS) };
                let role = if visitor { "visitor" } else { "agent" };
                Message { id: uuid(&mut rng), role, content: content.unwrap_or_default(), created_at: at }
            })
            .collect();
        let named = rng.u8(..3) == 0;
        let widget = (rng.f64().powi(2) * self.widgets.len() as f64) as usize;
        Session {
            id,
            widget: self.widgets[widget].0,
            visitor: format!("v_{:012x}", rng.u64(..1 << 48)),
            name: named.then(|| format!("Visitor {number}")),
            email: named.then(|| format!("visitor{number}@example.com")),
            page: rng.choice(["/", "/pricing", "/docs", "/contact"]).unwrap_or_default(),
            status: if age < ACTIVE_DAYS * DAY { "active" } else { "closed" },
            created_at,
            last_message_at: at,
            messages,
        }
    }
}

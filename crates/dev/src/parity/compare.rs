//! Compares the new endpoint's response with two of the old one: one before it and one after it. The new response may agree
//! with either, or lie between them, because data may change in that time.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Content, HEADERS, Page, Session},
    class::{Class, Kind},
    departure::{departure, has_null_number},
    mask::Mask,
    requests::ParityRequest,
};

/// The old endpoint's limit for messages.
const OLD_MESSAGES_MAX: i64 = 1_000;

/// Texts are cut only in responses from about this size on.
const CUT_FROM_BYTES: usize = 3_000_000;

/// Values are masked.
pub struct Finding {
    pub class: Class,
    pub place: String,
    pub old: Value,
    pub new: Value,
}

struct Comparison<'a> {
    mask: &'a Mask,
    findings: Vec<Finding>,
}

pub fn compare(request: &ParityRequest, old: [&Answer; 2], new: &Answer, mask: &Mask) -> Vec<Finding> {
    let mut comparison = Comparison { mask, findings: Vec::new() };
    // API Gateway's own 404 for a method without a route has none of the function's headers.
    if !(new.status == 404 && departure(request, old[0], new) == Some(Class::Method)) {
        comparison.headers(request, old, new);
    }
    let same: Vec<&Answer> = old.into_iter().filter(|old| old.outcome() == new.outcome()).collect();
    let (Some(first), Some(last)) = (same.first(), same.last()) else {
        let class = old.iter().find_map(|old| departure(request, old, new)).unwrap_or(Class::Difference);
        comparison.note(class, "status", old[0].outcome(), new.outcome());
        return comparison.findings;
    };
    if same.len() == 1 {
        comparison.note(Class::Noise, "status", old[0].outcome(), new.outcome());
    }
    let in_form = comparison.findings.len();
    match (&first.content, &new.content, &last.content) {
        (Content::Page(first), Content::Page(page), Content::Page(last)) => {
            comparison.pages([first, last], page, new.bytes);
        }
        (Content::Error(_), Content::Error(_), Content::Error(_)) => {}
        (Content::Other(first), Content::Other(new), Content::Other(last)) if new == first || new == last => {}
        _ => {
            let size = |answer: &Answer| format!("{} bytes", answer.bytes);
            comparison.note(Class::Difference, "body", size(first), size(new));
        }
    }
    if has_null_number(request) && new.page().is_some() {
        let findings = comparison.findings.split_off(in_form);
        if findings.iter().any(|finding| finding.class.kind() > Kind::Form) {
            comparison.note(Class::NullNumber, "page", "null is not the default", "null is the default");
        } else {
            comparison.findings.extend(findings);
        }
    }
    comparison.findings
}

impl Comparison<'_> {
    fn note(&mut self, class: Class, place: impl Into<String>, old: impl Into<Value>, new: impl Into<Value>) {
        self.findings.push(Finding { class, place: place.into(), old: old.into(), new: new.into() });
    }

    fn headers(&mut self, request: &ParityRequest, old: [&Answer; 2], new: &Answer) {
        for name in HEADERS {
            let of = |answer: &Answer| answer.header(name).map(|value| normalized(name, value));
            let (olds, value) = (old.map(of), of(new));
            let class = match &value {
                value if olds.iter().all(|old| old == value) => continue,
                value if olds.contains(value) => Class::Noise,
                Some(value) if name == "access-control-allow-methods" && value == "POST, OPTIONS" => {
                    Class::AllowMethods
                }
                Some(value) if olds.iter().all(Option::is_none) && is_added(name, value, request, new.status) => {
                    Class::AddedHeader
                }
                _ => Class::Difference,
            };
            let shown = |value: &Option<String>| json!(value.as_deref().unwrap_or("missing"));
            self.note(class, format!("header {name}"), shown(&olds[0]), shown(&value));
        }
    }

    fn pages(&mut self, old: [&Page; 2], new: &Page, bytes: usize) {
        for name in new.keys.iter().filter(|name| !old.iter().any(|page| page.keys.contains(name))) {
            self.note(Class::Difference, self.mask.name(name), "missing", "an extra key");
        }
        if old.iter().all(|page| is_other_order(&page.keys, &new.keys)) {
            self.note(Class::KeyOrder, "page", "its order", "another order");
        }
        self.field("total", "total", old.map(|page| Some(&page.total)), Some(&new.total), |_| None);
        self.membership(old, new);
        self.order(old, new);
        for session in &new.sessions {
            let olds = old.map(|page| page.session(&session.id));
            let (Some(first), Some(last)) = (olds[0].or(olds[1]), olds[1].or(olds[0])) else { continue };
            let is_once = olds.iter().any(Option::is_none);
            self.session([first, last], session, is_once, bytes);
        }
    }

    /// A session of both old pages must be on the new one, and one of neither must not.
    fn membership(&mut self, old: [&Page; 2], new: &Page) {
        for (index, session) in new.sessions.iter().enumerate() {
            if new.sessions[..index].iter().any(|other| other.id == session.id) {
                self.note(Class::Difference, format!("session {}", self.mask.id(&session.id)), "once", "twice");
            }
        }
        let are_ties = old.iter().any(|old| differ_by_ties(old, new));
        let class = if are_ties { Class::Paging } else { Class::Difference };
        for [page, other] in [old, [old[1], old[0]]] {
            for session in page.sessions.iter().filter(|session| other.session(&session.id).is_none()) {
                self.note(Class::Noise, format!("session {}", self.mask.id(&session.id)), "listed once", "any");
            }
        }
        let is_in_both = |session: &&Session| old[1].session(&session.id).is_some();
        let is_missing = |session: &&Session| new.session(&session.id).is_none();
        for session in old[0].sessions.iter().filter(is_in_both).filter(is_missing) {
            let places = old.map(|page| page.place(&session.id));
            let class = if places[0] == places[1] { class } else { Class::Noise };
            self.note(class, format!("session {}", self.mask.id(&session.id)), "listed", "missing");
        }
        let is_unknown = |id: &str| old.iter().all(|page| page.session(id).is_none());
        for (place, session) in new.sessions.iter().enumerate().filter(|(_, session)| is_unknown(&session.id)) {
            let class = if is_moving(old, place, session) { Class::Noise } else { class };
            self.note(class, format!("session {}", self.mask.id(&session.id)), "missing", "listed");
        }
    }

    fn order(&mut self, old: [&Page; 2], new: &Page) {
        if old.iter().any(|old| common_ids(old, new).eq(common_ids(new, old))) {
            return;
        }
        let has_changed = new.sessions.iter().any(|session| {
            let [first, last] = old.map(|page| page.session(&session.id).map(Session::last_message_at));
            first.is_some() && last.is_some() && first != last
        });
        let class = match (is_in_contracts_order(new), has_changed) {
            (false, _) => Class::Difference,
            (true, true) => Class::Noise,
            (true, false) => Class::Paging,
        };
        self.note(class, "order of the sessions", "its order", "another order");
    }

    /// `is_once`: only one of the old pages has the session, so a message may have come that the other would have shown.
    fn session(&mut self, old: [&Session; 2], new: &Session, is_once: bool, bytes: usize) {
        let id = self.mask.id(&new.id);
        if old.iter().all(|old| is_other_order(&names(old), &names(new))) {
            self.note(Class::KeyOrder, format!("session {id}"), "its order", "another order");
        }
        let mut fields = names(old[0]);
        fields.extend(names(new).into_iter().filter(|name| !fields.contains(name)).collect::<Vec<_>>());
        for name in fields {
            // A message came before the new response, and another one after it.
            let is_changing = match name.as_str() {
                "last_message" => is_once || message_count(old[0]) != message_count(old[1]),
                "last_message_at" | "message_count" => is_once,
                _ => false,
            };
            let explain = |old| explain(&name, old, new, bytes).or(is_changing.then_some(Class::Noise));
            let place = format!("session {id}, {}", self.mask.name(&name));
            let values = old.map(|session| session.members.get(&name));
            self.field(&name, &place, values, new.members.get(&name), |index| explain(old[index]));
        }
    }

    /// Compares a value. `explain` names the departure from one of the old values.
    fn field(
        &mut self,
        name: &str,
        place: &str,
        old: [Option<&Value>; 2],
        new: Option<&Value>,
        explain: impl Fn(usize) -> Option<Class>,
    ) {
        let class = if let Some(index) = old.iter().position(|old| is_same(name, *old, new)) {
            if is_same(name, old[0], old[1]) { form(name, old[index], new) } else { Some(Class::Noise) }
        } else if is_between(name, old, new) {
            Some(Class::Noise)
        } else {
            Some((0..2).find_map(explain).unwrap_or(Class::Difference))
        };
        if let Some(class) = class {
            let shown = |value| self.mask.value(name, value);
            self.note(class, place, shown(old[0]), shown(new));
        }
    }
}

impl Session {
    /// The instant, or the text if it is not one.
    fn last_message_at(&self) -> Option<Result<Timestamp, &str>> {
        let text = self.members.get("last_message_at")?.as_str()?;
        Some(instant(text).ok_or(text))
    }
}

fn names(session: &Session) -> Vec<String> {
    session.members.names().map(ToOwned::to_owned).collect()
}

fn normalized(name: &str, value: &str) -> String {
    match name {
        "content-type" => value.to_ascii_lowercase().replace(' ', ""),
        // Only its presence can be compared.
        "x-request-id" => "present".to_owned(),
        _ => value.to_owned(),
    }
}

/// Returns whether the contract adds a header with this value.
fn is_added(name: &str, value: &str, request: &ParityRequest, status: u16) -> bool {
    match name {
        "access-control-expose-headers" => value == "x-request-id, retry-after",
        "access-control-max-age" => request.method == "OPTIONS" && value == "86400",
        "allow" => status == 405 && value == "POST, OPTIONS",
        "cache-control" => value == "no-store",
        "www-authenticate" | "x-amzn-remapped-www-authenticate" => status == 401 && value == "Bearer",
        "retry-after" => status == 503,
        "x-request-id" => true,
        _ => false,
    }
}

/// Returns whether the keys that both have are in another order.
fn is_other_order(old: &[String], new: &[String]) -> bool {
    let common = |a: &[String], b: &[String]| a.iter().filter(|name| b.contains(name)).cloned().collect::<Vec<_>>();
    common(old, new) != common(new, old)
}

fn common_ids<'a>(page: &'a Page, other: &Page) -> impl Iterator<Item = &'a str> {
    page.sessions.iter().filter(|session| other.session(&session.id).is_some()).map(|session| session.id.as_str())
}

/// By `last_message_at` descending, sessions without one first, then by id descending.
fn is_in_contracts_order(page: &Page) -> bool {
    page.sessions.is_sorted_by(|a, b| {
        let order = match (a.last_message_at(), b.last_message_at()) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => b.ok().cmp(&a.ok()),
        };
        order.then_with(|| b.id.cmp(&a.id)) == Ordering::Less
    })
}

/// Returns whether two pages list different sessions only because sessions with the same time are on either side of a
/// page's beginning or end: the times are the same in each place, and those of the other sessions are at the ends.
fn differ_by_ties(old: &Page, new: &Page) -> bool {
    let times = |page: &Page| -> Vec<Option<Timestamp>> {
        page.sessions.iter().map(|session| session.last_message_at().and_then(Result::ok)).collect()
    };
    let (olds, news) = (times(old), times(new));
    let is_at_an_end = |time: Option<Timestamp>| news.first() == Some(&time) || news.last() == Some(&time);
    let mut others = old.sessions.iter().filter(|session| new.session(&session.id).is_none());
    let is_whole = old.total.as_u64() == u64::try_from(old.sessions.len()).ok();
    olds == news
        && !is_whole
        && is_in_contracts_order(new)
        && others.all(|session| is_at_an_end(session.last_message_at().and_then(Result::ok)))
}

/// Returns whether the old pages have different sessions or times in a place, and this session's time lies between theirs:
/// several sessions moved up, each of them through this place.
fn is_moving(old: [&Page; 2], place: usize, session: &Session) -> bool {
    let [Some(first), Some(last)] = old.map(|page| page.sessions.get(place)) else { return false };
    let time = |session: &Session| session.last_message_at().and_then(Result::ok);
    let (low, high) = (time(first).min(time(last)), time(first).max(time(last)));
    (first.id != last.id || low != high) && (low..=high).contains(&time(session))
}

/// Reads a time as both endpoints write them.
pub fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

fn is_time(name: &str) -> bool {
    matches!(name, "last_message_at" | "created_at")
}

/// Returns whether two values mean the same. A key that the new endpoint omits means nothing but its absence.
fn is_same(name: &str, old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (None, new) => new.is_none_or(Value::is_null),
        (Some(_), None) => false,
        (Some(Value::String(old)), Some(Value::String(new))) if is_time(name) => {
            old == new || (instant(old).is_some() && instant(old) == instant(new))
        }
        (Some(old), Some(new)) => old == new,
    }
}

/// The class of two values that mean the same.
fn form(name: &str, old: Option<&Value>, new: Option<&Value>) -> Option<Class> {
    match (old, new) {
        (None, Some(_)) => Some(Class::MissingKey),
        (Some(Value::String(old)), Some(Value::String(new))) if is_time(name) && old != new => {
            let is_contracts = new.ends_with('Z') && !(new.contains('.') && new.ends_with("0Z"));
            Some(if is_contracts { Class::Times } else { Class::Difference })
        }
        _ => None,
    }
}

fn is_between(name: &str, old: [Option<&Value>; 2], new: Option<&Value>) -> bool {
    let between = |low: i128, high: i128, new: i128| (low.min(high)..=low.max(high)).contains(&new);
    let number = |value: Option<&Value>| match value? {
        Value::String(text) if is_time(name) => Some(instant(text)?.as_nanosecond()),
        value => value.as_i64().map(i128::from),
    };
    match (number(old[0]), number(old[1]), number(new)) {
        (Some(first), Some(last), Some(new)) => between(first, last, new),
        _ => false,
    }
}

/// The departure that explains a field of a session.
fn explain(name: &str, old: &Session, new: &Session, bytes: usize) -> Option<Class> {
    let values = (old.members.get(name), new.members.get(name));
    let (old_count, new_count) = (message_count(old)?, message_count(new)?);
    let is_capped = old_count == OLD_MESSAGES_MAX && new_count > OLD_MESSAGES_MAX;
    match (name, values) {
        ("message_count", _) => is_capped.then_some(Class::MessageCount),
        (_, (Some(Value::String(old)), Some(Value::String(new)))) if is_cut(old, new, bytes) => Some(Class::CutText),
        // A session's only message is also its last one.
        ("last_message", (Some(Value::String(_)), Some(Value::String(_)))) => {
            let is_alike = (old_count == new_count || is_capped) && old.last_message_at() == new.last_message_at();
            (is_alike && new_count > 1).then_some(Class::LastMessage)
        }
        (name, (Some(Value::String(old)), Some(Value::Null))) if is_time(name) => {
            instant(old).is_none().then_some(Class::InexpressibleTime)
        }
        _ => None,
    }
}

fn message_count(session: &Session) -> Option<i64> {
    session.members.get("message_count")?.as_i64()
}

fn is_cut(old: &str, new: &str, bytes: usize) -> bool {
    let is_large = bytes >= CUT_FROM_BYTES || old.len() >= CUT_FROM_BYTES / 100;
    is_large && new.strip_suffix('…').is_some_and(|start| old.len() > new.len() && old.starts_with(start))
}

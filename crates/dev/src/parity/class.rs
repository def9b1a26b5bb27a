//! The kinds of findings. Each departure has its row in the table of docs/contract.md, "Moving from the edge function".

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The same in another form.
    Form,
    Departure,
    /// The old endpoint disagrees with itself, or the data changed between its two responses.
    Noise,
    Difference,
}

macro_rules! classes {
    ($($class:ident, $kind:ident, $name:literal, $row:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Class { $($class),* }

        impl Class {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$class),*];

            pub fn kind(self) -> Kind {
                match self { $(Self::$class => Kind::$kind),* }
            }

            /// The name in the table and in the report.
            pub fn name(self) -> &'static str {
                match self { $(Self::$class => $name),* }
            }

            /// The beginning of its row in the contract's table; nothing if another section of the contract has it.
            #[cfg(test)]
            fn row(self) -> &'static str {
                match self { $(Self::$class => $row),* }
            }
        }
    };
}

classes! {
    Times, Form, "times end in Z", "times";
    MissingKey, Form, "null instead of a missing key", "no message / invisible widget";
    AllowMethods, Form, "allowed methods", "`Access-Control-Allow-Methods`";
    AddedHeader, Form, "added headers", "";
    KeyOrder, Form, "order of keys", "";
    LastMessage, Departure, "last message", "last message";
    MessageCount, Departure, "message_count over 1,000", "`message_count`";
    Paging, Departure, "order of equal times", "paging";
    PastTheEnd, Departure, "offset past the end", "offset past the end";
    LimitZero, Departure, "limit 0 with an offset", "`limit` 0 with an `offset`";
    BadValue, Departure, "bad UUID or date", "a bad UUID or date";
    PostgresDate, Departure, "PostgreSQL's date form", "date forms that only PostgreSQL reads";
    UuidGrouping, Departure, "UUID's grouping", "a UUID with unusual grouping";
    NotAnObject, Departure, "not a JSON object", "a body that is not JSON, or not an object";
    Encoding, Departure, "encoding or field twice", "a byte-order mark, bytes that are not UTF-8, a field given twice";
    WrongType, Departure, "wrong type or fraction", "wrong types";
    FalsyFilter, Departure, "0 or false in a filter", "`0` or `false` in a filter";
    NegativeNumber, Departure, "negative number", "a negative `offset`";
    NullNumber, Departure, "null in limit or offset", "`null` in `limit` or `offset`";
    LimitAboveMax, Departure, "limit over 100", "`limit` over 100";
    UnknownStatus, Departure, "unknown status", "unknown `status`";
    LargeBody, Departure, "body over 64 KiB", "a body over 64 KiB";
    Method, Departure, "method", "GET, PUT, PATCH, DELETE";
    RawToken, Departure, "token without Bearer", "a raw token without `Bearer`";
    Scheme, Departure, "spelling of Bearer", "the scheme in lower or upper case";
    SessionToken, Departure, "session token", "session tokens";
    CutText, Departure, "cut text", "";
    InexpressibleTime, Departure, "inexpressible time", "";
    Noise, Noise, "old one's noise", "";
    Difference, Difference, "unexplained", "";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that no request can show: they need an outage, the dashboard, or a look into the database.
    const INVISIBLE: [&str; 3] = ["the token store is", "a key created or revoked", "`api_keys.last_used_at`"];

    #[test]
    fn every_row_of_the_contracts_table_of_differences_has_a_class_or_is_invisible() {
        let contract = include_str!("../../../../docs/contract.md");
        let table = contract.split_once("| case | edge function | here |").unwrap().1.split("\n\n").next().unwrap();
        let rows: Vec<&str> = table.lines().skip(2).map(|line| line.trim_start_matches("| ")).collect();
        assert!(rows.len() > 20, "{table}");
        let starts = || Class::ALL.iter().map(|class| class.row()).filter(|row| !row.is_empty()).chain(INVISIBLE);
        for row in &rows {
            assert!(starts().any(|start| row.starts_with(start)), "no class has the row {row}");
        }
        for start in starts() {
            assert_eq!(rows.iter().filter(|row| row.starts_with(start)).count(), 1, "rows that begin with {start}");
        }
    }
}

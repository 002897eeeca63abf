//! Points in time as the tool reads and writes them: RFC 3339, always UTC.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// `2026-11-23T10:00:00Z`.
pub(crate) fn format_rfc3339(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC).replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_else(|_| at.unix_timestamp().to_string())
}

/// Reads an RFC 3339 time with its offset, a date, which begins at midnight UTC, or a number of seconds since 1970.
pub(crate) fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    let wrong = || "expected a time such as 2026-11-23T10:00:00Z, a date, or seconds since 1970".to_owned();
    if let Ok(seconds) = text.parse() {
        return OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| wrong());
    }
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Ok(day.midnight().assume_utc());
    }
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_whatever_the_offset() {
        let at = parse_time("2026-11-23T02:00:00-08:00").unwrap();
        assert_eq!(format_rfc3339(at), "2026-11-23T10:00:00Z");
        assert_eq!(parse_time("1795428000").unwrap(), at);
        assert_eq!(format_rfc3339(parse_time("2026-11-23").unwrap()), "2026-11-23T00:00:00Z");
        assert!(parse_time("tomorrow").is_err() && parse_time("2026-13-01").is_err());
    }
}

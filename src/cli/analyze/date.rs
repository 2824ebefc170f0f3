//! Today, and now.

use std::time::{SystemTime, UNIX_EPOCH};

/// The day in UTC as `YYYY-MM-DD`; that of `SOURCE_DATE_EPOCH` where it is set, so that results can be made
/// again byte for byte.
pub fn today() -> String {
    day(seconds() / DAY)
}

/// Date and time in UTC as `YYYY-MM-DDThh:mm:ss+00:00`; of `SOURCE_DATE_EPOCH` as [`today`].
pub fn now() -> String {
    let seconds = seconds();
    let (of_day, of_hour) = (seconds % DAY, seconds % 3_600);
    let (hour, minute, second) = (of_day / 3_600, of_hour / 60, of_hour % 60);
    format!(
        "{}T{hour:02}:{minute:02}:{second:02}+00:00",
        day(seconds / DAY)
    )
}

const DAY: u64 = 86_400;

/// Seconds since 1970.
fn seconds() -> u64 {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let given = given.and_then(|seconds| seconds.parse::<u64>().ok());
    given.unwrap_or_else(|| {
        let passed = SystemTime::now().duration_since(UNIX_EPOCH);
        passed.map_or(0, |passed| passed.as_secs())
    })
}

/// The day that many days after 1970-01-01, in the Gregorian calendar. Years are counted from March, which
/// puts the leap day at the end; an era is 400 years.
fn day(since_1970: u64) -> String {
    let days = since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{date:02}", year_of_era + 400 * era + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar() {
        for (days, text) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_088, "2024-12-31"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(day(days), text);
        }
    }
}

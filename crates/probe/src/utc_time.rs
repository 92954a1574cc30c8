//! Converts a date and a time of day to a point in time.

use std::time::{Duration, SystemTime};

/// The point in time of `[year, month, day]` in the Gregorian calendar and `[hour, minute, second]` in UTC.
///
/// The time of day may be negative or exceed a day. Returns `None` if the system cannot represent the result.
pub fn utc_time(
    [year, month, day]: [i64; 3],
    [hour, minute, second]: [i64; 3],
) -> Option<SystemTime> {
    // Years are counted from March, so that a leap day is the last day of its year.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days_since_1970 = year * 365 + leap_days + day_of_year - 719_468;
    let seconds = days_since_1970 * 86_400 + hour * 3600 + minute * 60 + second;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

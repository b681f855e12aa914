//! Numbers some of whose bits are fixed.

/// The smallest number from `from` on whose bits under a mask are these.
///
/// ```
/// use atlas_model::bits::at_least;
/// assert_eq!(at_least(9, 0b11, 0b01), Some(9));
/// assert_eq!(at_least(10, 0b11, 0b01), Some(13));
/// assert_eq!(at_least(2, u64::MAX, 1), None);
/// ```
#[must_use]
pub fn at_least(from: u64, mask: u64, bits: u64) -> Option<u64> {
    let below = |bit: u32| (1_u64 << bit) - 1;
    let wrong = (from ^ bits) & mask;
    let Some(highest) = wrong.checked_ilog2() else { return Some(from) };
    // The bit to set so that the number becomes larger: the wrong one if it is to be set, or else the
    // next free one above it. What is below is then as small as may be.
    let set = match bits >> highest & 1 {
        1 => highest,
        _ => (highest + 1..64).find(|bit| (from | mask) >> bit & 1 == 0)?,
    };
    Some(from & !below(set) | 1 << set | bits & below(set))
}

//! Natural numbers and integers of the host read back: boxed scalars, and bignums in either layout.

use super::runtime::Host;
use crate::object::Obj;
use olean_reader::format::object::TAG_MPZ;

/// A natural number or an integer: its sign, and its magnitude as limbs of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number<'a> {
    /// Whether it is below zero.
    pub negative: bool,
    magnitude: Magnitude<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Magnitude<'a> {
    /// Of a boxed scalar.
    Scalar(u64),
    /// GMP's limbs, lowest first.
    Limbs(&'a [u64]),
    /// The digits of Lean's own bignums, lowest first.
    Digits(&'a [u32]),
}

impl<'a> Number<'a> {
    /// The limbs of the magnitude, lowest first; the last is not 0, and zero has none.
    pub fn limbs(&self) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        let magnitude = self.magnitude;
        let count = match magnitude {
            Magnitude::Scalar(0) => 0,
            Magnitude::Scalar(_) => 1,
            Magnitude::Limbs(limbs) => significant(limbs),
            Magnitude::Digits(digits) => significant(digits).div_ceil(2),
        };
        (0..count).map(move |i| match magnitude {
            Magnitude::Scalar(value) => value,
            Magnitude::Limbs(limbs) => limbs[i],
            Magnitude::Digits(digits) => {
                let high = digits.get(2 * i + 1).copied().unwrap_or(0);
                u64::from(digits[2 * i]) | u64::from(high) << 32
            }
        })
    }
}

/// Elements up to the last that is not 0.
fn significant<T: PartialEq + From<u8>>(digits: &[T]) -> usize {
    digits
        .iter()
        .rposition(|d| *d != T::from(0))
        .map_or(0, |last| last + 1)
}

impl Host {
    /// The number that `o` (borrowed) is, as an `Int` if `integer` and else as a `Nat`, which differ in what a
    /// boxed scalar means; `None` if `o` is no number.
    ///
    /// # Safety
    /// `o` is a scalar or a live object of this host or of a region that was read for it, and lives as long as the
    /// result is used.
    #[must_use]
    pub unsafe fn number<'a>(&self, o: Obj, integer: bool) -> Option<Number<'a>> {
        if o.is_scalar() {
            // Integers are boxed as the 32 bits of a C int.
            let value = if integer {
                i64::from(o.unbox() as u32 as i32)
            } else {
                0
            };
            let magnitude = if integer {
                value.unsigned_abs()
            } else {
                o.unbox() as u64
            };
            return Some(Number {
                negative: value < 0,
                magnitude: Magnitude::Scalar(magnitude),
            });
        }
        // SAFETY: not a scalar, so a live object; a bignum has the fields of the host's layout, and as many limbs or
        // digits behind its pointer as they say. A count of 0 reads nothing.
        unsafe {
            if o.kind().tag != TAG_MPZ {
                return None;
            }
            if self.uses_gmp() {
                // `_mp_size` in the upper half of the word: its sign is that of the number.
                let size = (o.word(8) >> 32) as u32 as i32;
                let limbs = elements(o.word(16), size.unsigned_abs() as usize);
                return Some(Number {
                    negative: size < 0,
                    magnitude: Magnitude::Limbs(limbs),
                });
            }
            Some(Number {
                negative: o.word(8) & 0xff != 0,
                magnitude: Magnitude::Digits(elements(o.word(24), o.word(16))),
            })
        }
    }
}

/// # Safety
/// `count` values of `T` lie at `address`, which is aligned for them, or `count` is 0.
unsafe fn elements<'a, T>(address: usize, count: usize) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the contract is the same.
    unsafe { std::slice::from_raw_parts(address as *const T, count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limbs(magnitude: Magnitude<'_>) -> Vec<u64> {
        let number = Number {
            negative: false,
            magnitude,
        };
        number.limbs().collect()
    }

    #[test]
    fn limbs_are_those_of_the_value_in_every_layout() {
        assert!(limbs(Magnitude::Scalar(0)).is_empty());
        assert_eq!(limbs(Magnitude::Scalar(7)), [7]);
        assert_eq!(limbs(Magnitude::Limbs(&[1, 2, 0])), [1, 2]);
        assert_eq!(limbs(Magnitude::Digits(&[1, 2, 3])), [1 | 2 << 32, 3]);
        assert_eq!(limbs(Magnitude::Digits(&[5, 0, 0, 0])), [5]);
    }
}

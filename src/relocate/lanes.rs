//! Pointers into the region itself, translated many words at once and without a branch. The same code is compiled for
//! the vector instructions of several processors. Which of them this processor has is asked at each call; to call code
//! that is compiled for them is all that is `unsafe` here.

/// Words looked at together.
pub(super) const GROUP: usize = 8;

/// Where pointers into the region itself lead.
#[derive(Clone, Copy)]
pub(super) struct Own {
    /// Address in the file of the first object, and bytes from there to the end of the data.
    pub(super) objects: u64,
    pub(super) length: u64,
    /// How far the region lies from where its file wants it.
    pub(super) delta: u64,
}

impl Own {
    /// Whether a pointer leads to a word of the region: in range and aligned at once, since low bits that are
    /// set make the rotated difference too large.
    #[inline(always)]
    pub(super) fn holds(&self, pointer: u64) -> bool {
        pointer.wrapping_sub(self.objects).rotate_right(3) < self.length / 8
    }
}

/// Translates marked pointers into the region itself, up to the first [`GROUP`] that holds another pointer: says
/// where it begins, with nothing in it changed.
pub(super) fn translate_own(own: Own, words: &mut [u64], marks: &[u8]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    {
        if x86::has_avx512() {
            // SAFETY: this processor has been asked for every feature that the function is compiled for.
            return unsafe { x86::avx512(own, words, marks) };
        }
        if x86::has_avx2() {
            // SAFETY: this processor has been asked for the feature that the function is compiled for.
            return unsafe { x86::avx2(own, words, marks) };
        }
    }
    lanes(own, words, marks)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Own, lanes};

    pub fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    pub fn avx512(own: Own, words: &mut [u64], marks: &[u8]) -> Option<usize> {
        lanes(own, words, marks)
    }

    pub fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2")
    }

    #[target_feature(enable = "avx2")]
    pub fn avx2(own: Own, words: &mut [u64], marks: &[u8]) -> Option<usize> {
        lanes(own, words, marks)
    }
}

/// What is compiled for each processor.
#[inline(always)]
fn lanes(own: Own, words: &mut [u64], marks: &[u8]) -> Option<usize> {
    let total = words.len();
    let (groups, rest) = words.as_chunks_mut::<GROUP>();
    let (group_marks, rest_marks) = marks.as_chunks::<GROUP>();
    for (n, (group, marks)) in groups.iter_mut().zip(group_marks).enumerate() {
        if !translate(own, group, marks) {
            return Some(n * GROUP);
        }
    }
    let at = total - rest.len();
    if rest.is_empty() {
        return None;
    }
    let (mut group, mut marks) = ([0; GROUP], [0; GROUP]);
    group[..rest.len()].copy_from_slice(rest);
    marks[..rest.len()].copy_from_slice(rest_marks);
    let done = translate(own, &mut group, &marks);
    if done {
        rest.copy_from_slice(&group[..rest.len()]);
    }
    (!done).then_some(at)
}

/// Translates a group if no marked word of it leads elsewhere.
#[inline(always)]
fn translate(own: Own, words: &mut [u64; GROUP], marks: &[u8; GROUP]) -> bool {
    let mut new = [0; GROUP];
    let mut elsewhere = 0;
    for i in 0..GROUP {
        let word = words[i];
        // All ones for a marked word that is no scalar.
        let pointer = (marks[i] as i8 as i64 as u64) & (word & 1).wrapping_sub(1);
        let inside = if own.holds(word) { u64::MAX } else { 0 };
        new[i] = word.wrapping_add(own.delta & pointer & inside);
        elsewhere |= pointer & !inside;
    }
    if elsewhere == 0 && own.delta != 0 {
        *words = new;
    }
    elsewhere == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Outcome = (Option<usize>, Vec<u64>);

    /// What is expected, word by word.
    fn plain(own: Own, words: &[u64], marks: &[u8]) -> Outcome {
        let mut out = words.to_vec();
        for start in (0..words.len()).step_by(GROUP) {
            let group = start..words.len().min(start + GROUP);
            let meant = |&i: &usize| marks[i] != 0 && words[i] & 1 == 0;
            let inside = |&i: &usize| {
                let at = words[i].wrapping_sub(own.objects);
                at.is_multiple_of(8) && at < own.length
            };
            if group.clone().filter(meant).any(|i| !inside(&i)) {
                return (Some(start), out);
            }
            for i in group.filter(meant) {
                out[i] = words[i].wrapping_add(own.delta);
            }
        }
        (None, out)
    }

    fn outcome(
        f: impl FnOnce(Own, &mut [u64], &[u8]) -> Option<usize>,
        own: Own,
        words: &[u64],
        marks: &[u8],
    ) -> Outcome {
        let mut out = words.to_vec();
        (f(own, &mut out, marks), out)
    }

    proptest! {
        #[test]
        fn every_processor_translates_alike(
            picks in prop::collection::vec((0u8..40, any::<u64>(), any::<bool>()), 0..200),
            objects in prop::sample::select(vec![0x58u64, 0x7f12_3450_0060, u64::MAX - 0xfff]),
            delta in prop::sample::select(vec![0u64, 8, 0x1_0000, 0u64.wrapping_sub(0x7000_0000_0000)]),
        ) {
            let own = Own { objects, length: 0x800, delta };
            let word = |(kind, value, _): &(u8, u64, bool)| match kind {
                0 => *value,
                1 => objects.wrapping_add(0x800),
                2 => objects.wrapping_sub(8),
                3 => objects.wrapping_add(value % 0x800) & !1,
                4..20 => value | 1,
                _ => objects.wrapping_add(value % 0x100 * 8),
            };
            let words: Vec<u64> = picks.iter().map(word).collect();
            let marks: Vec<u8> = picks.iter().map(|p| if p.2 { u8::MAX } else { 0 }).collect();
            let expected = plain(own, &words, &marks);
            prop_assert_eq!(&outcome(translate_own, own, &words, &marks), &expected);
            prop_assert_eq!(&outcome(lanes, own, &words, &marks), &expected);
            #[cfg(target_arch = "x86_64")]
            if x86::has_avx2() {
                // SAFETY: this processor has been asked for the feature that the function is compiled for.
                let avx2 = |own, words: &mut [u64], marks: &[u8]| unsafe { x86::avx2(own, words, marks) };
                prop_assert_eq!(&outcome(avx2, own, &words, &marks), &expected);
            }
        }
    }
}

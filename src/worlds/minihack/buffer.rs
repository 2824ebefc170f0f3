//! Training windows, and the buffer that holds pinned offline and passing online ones.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{MAP_COLS, MAP_ROWS, WorldError};

/// A recorded episode of `T` steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trajectory {
    local: Vec<i16>,
    global: Vec<i16>,
    actions: Vec<i32>,
    crop: usize,
    map: usize,
}

impl Trajectory {
    /// A trajectory over NetHack's map: `local` `[T, crop, crop]`, `global` `[T, 21, 79]`, `actions`
    /// `[T]`.
    ///
    /// # Errors
    /// [`WorldError::Length`] when the lengths disagree.
    pub fn new(
        local: Vec<i16>,
        global: Vec<i16>,
        actions: Vec<i32>,
        crop_size: usize,
    ) -> Result<Self, WorldError> {
        let crop = crop_size * crop_size;
        let map = MAP_ROWS * MAP_COLS;
        let steps = actions.len();
        let shapes = [
            ("local observations", local.len(), steps * crop),
            ("global observations", global.len(), steps * map),
        ];
        for (what, found, expected) in shapes {
            if found != expected {
                return Err(WorldError::Length {
                    what,
                    expected,
                    found,
                });
            }
        }
        Ok(Self {
            local,
            global,
            actions,
            crop,
            map,
        })
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }
}

/// A training example: the observation at a step, and the actions from it on.
#[derive(Debug, Clone)]
pub struct Window {
    trajectory: Arc<Trajectory>,
    start: usize,
}

impl Window {
    /// The windows of a trajectory, one a step, sharing its storage.
    pub fn all(trajectory: &Arc<Trajectory>) -> impl Iterator<Item = Window> + use<> {
        let trajectory = Arc::clone(trajectory);
        (0..trajectory.len()).map(move |start| Window {
            trajectory: Arc::clone(&trajectory),
            start,
        })
    }

    /// `length` actions from the window's start, filled with `pad` beyond the episode's end.
    pub fn actions(&self, length: usize, pad: i32) -> Vec<i32> {
        let rest = self.trajectory.actions.iter().skip(self.start).copied();
        rest.chain(std::iter::repeat(pad)).take(length).collect()
    }

    /// The crop at the window's start, `[crop, crop]`.
    pub fn local(&self) -> &[i16] {
        row(&self.trajectory.local, self.start, self.trajectory.crop)
    }

    /// The map at the window's start, `[21, 79]`.
    pub fn global(&self) -> &[i16] {
        row(&self.trajectory.global, self.start, self.trajectory.map)
    }
}

fn row(values: &[i16], index: usize, width: usize) -> &[i16] {
    values
        .get(index * width..(index + 1) * width)
        .unwrap_or_default()
}

/// Examples counted one by one: pinned ones, then a first-in-first-out queue in what room is left.
///
/// When the pinned ones fill the capacity, every later one is dropped at once, as in the original.
#[derive(Debug, Clone)]
pub struct ReplayBuffer<W> {
    capacity: usize,
    pinned: Vec<W>,
    online: VecDeque<W>,
}

impl<W> ReplayBuffer<W> {
    /// A buffer of `capacity` examples, of which `pinned` never leave; beyond the capacity the
    /// earliest pinned ones are kept.
    pub fn new(capacity: usize, pinned: impl IntoIterator<Item = W>) -> Self {
        Self {
            capacity,
            pinned: pinned.into_iter().take(capacity).collect(),
            online: VecDeque::new(),
        }
    }

    /// Appends examples; the oldest ones that are not pinned leave first.
    pub fn extend(&mut self, windows: impl IntoIterator<Item = W>) {
        let room = self.capacity - self.pinned.len();
        for window in windows {
            self.online.push_back(window);
            if self.online.len() > room {
                self.online.pop_front();
            }
        }
    }

    /// Pinned examples.
    pub fn pinned(&self) -> &[W] {
        &self.pinned
    }

    /// The queue, oldest first.
    pub fn online(&self) -> impl ExactSizeIterator<Item = &W> {
        self.online.iter()
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.pinned.len() + self.online.len()
    }

    /// Whether there is none; a training step is then a no-op.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The example at `index` of the pinned ones followed by the queue.
    pub fn get(&self, index: usize) -> Option<&W> {
        let beyond = index.checked_sub(self.pinned.len());
        match beyond {
            Some(queued) => self.online.get(queued),
            None => self.pinned.get(index),
        }
    }

    /// `count` examples drawn uniformly with replacement; `next` gives uniform numbers. `None` when
    /// the buffer is empty.
    pub fn sample(&self, count: usize, mut next: impl FnMut() -> u32) -> Option<Vec<&W>> {
        // Scaling 64 random bits keeps the bias below capacity / 2^64.
        let mut draw = || {
            let bits = (u64::from(next()) << 32) | u64::from(next());
            let index = (u128::from(bits) * self.len() as u128) >> 64;
            self.get(index as usize)
        };
        (0..count).map(|_| draw()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_of_pinned_examples_it_drops_every_new_one() {
        let mut buffer = ReplayBuffer::new(3, [1, 2, 3, 4]);
        buffer.extend([5, 6]);
        assert_eq!((buffer.pinned(), buffer.len()), (&[1, 2, 3][..], 3));
    }

    #[test]
    fn samples_cover_both_parts_and_an_empty_buffer_gives_none() {
        let mut buffer = ReplayBuffer::new(4, [10, 11]);
        buffer.extend([12, 13, 14]);
        let mut state = 0_u32;
        let drawn = buffer.sample(64, || {
            state = state.wrapping_add(0x9E37_79B9);
            state
        });
        let mut drawn: Vec<_> = drawn.unwrap().into_iter().copied().collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [10, 11, 13, 14]);
        assert!(ReplayBuffer::<u8>::new(4, []).sample(1, || 0).is_none());
    }

    #[test]
    fn windows_show_the_observation_at_their_start() {
        let map = MAP_ROWS * MAP_COLS;
        let global: Vec<i16> = (0..2).flat_map(|step| vec![step; map]).collect();
        let trajectory = Arc::new(Trajectory::new(vec![7, 8], global, vec![3, 4], 1).unwrap());
        let last = Window::all(&trajectory).last().unwrap();
        assert_eq!(last.local(), [8]);
        assert_eq!((last.global().len(), last.global()[0]), (map, 1));
        assert_eq!(last.actions(3, 13), [4, 13, 13]);
        assert!(Trajectory::new(vec![], vec![], vec![1], 1).is_err());
    }
}

//! The steps of a run, as far as anything has happened to them. Pure; a part of [`super::progress`].

use std::ops::Index;

use super::step_state::StepState;

/// Steps by name. There are few of them and a hundred thousand runs may be parked, so that they lie in a list which has no
/// room to spare: a tree has room for eleven as soon as there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps(Vec<(String, StepState)>);

impl Steps {
    fn place(&self, step: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(name, _)| name.as_str().cmp(step))
    }

    /// How this step stands.
    pub fn get(&self, step: &str) -> Option<&StepState> {
        self.0.get(self.place(step).ok()?).map(|(_, state)| state)
    }

    /// Whether anything has happened to this step.
    pub fn contains_key(&self, step: &str) -> bool {
        self.place(step).is_ok()
    }

    /// The steps with their names, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &StepState)> {
        self.0.iter().map(|(step, state)| (step, state))
    }

    /// How they stand.
    pub fn values(&self) -> impl Iterator<Item = &StepState> {
        self.0.iter().map(|(_, state)| state)
    }

    /// The same, to change them.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut StepState> {
        self.0.iter_mut().map(|(_, state)| state)
    }

    pub(super) fn insert(&mut self, step: String, state: StepState) {
        match self.place(&step) {
            Ok(place) => {
                if let Some((_, before)) = self.0.get_mut(place) {
                    *before = state;
                }
            }
            Err(place) => {
                self.0.reserve_exact(1);
                self.0.insert(place, (step, state));
            }
        }
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&String) -> bool) {
        self.0.retain(|(step, _)| stays(step));
    }
}

impl IntoIterator for Steps {
    type Item = (String, StepState);
    type IntoIter = std::vec::IntoIter<(String, StepState)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Index<&str> for Steps {
    type Output = StepState;

    /// # Panics
    ///
    /// Nothing has happened to it.
    #[allow(clippy::expect_used, reason = "as any map does")]
    fn index(&self, step: &str) -> &StepState {
        self.get(step).expect("nothing has happened to this step")
    }
}
